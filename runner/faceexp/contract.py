"""The plugin contract: the base classes that plugin authors import.

A plugin is a frozen pydantic model named by an entry point. **Its fields are its TOML options**; the first line of its
docstring is its summary; ``build(...)`` makes the thing. Importing a plugin module must not import TensorFlow: heavy
imports live inside ``build``. The four groups are ``faceexp.losses``, ``.models``, ``.datasets`` and ``.samplers``.

>>> class Squared(LossPlugin):
...     '''Mean squared norm of the embeddings (an example, not a useful loss).'''
...     reference: ClassVar[str] = "this docstring"
...     distance: ClassVar[Distance] = "euclidean"
...     weight: float = option(1.0, "Factor before the mean.", unit="none", gt=0)
...
...     def build(self, ctx):
...         import tensorflow as tf
...         return lambda labels, embeddings: self.weight * tf.reduce_mean(embeddings**2)
"""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from faceexp.arrays import ByteArray, IntArray
from faceexp.files import AnyPath, InputFile, InputFolder, files_fingerprint, image_extensions, readable_name, user_path

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
else:
    # Only annotations name this type; importing TensorFlow for it would cost every command seconds.
    LossFunction = Any

# Everything here, and the name of an array type, is what plugin authors import.
__all__ = [
    "GROUPS",
    "RESERVED",
    "RESERVED_OF_KIND",
    "AnyPath",
    "BatchNeeds",
    "BatchSupply",
    "DatasetPlugin",
    "Distance",
    "FaceData",
    "Halves",
    "InputFile",
    "InputFolder",
    "IntArray",
    "LossContext",
    "LossFunction",
    "LossPlugin",
    "LossTraits",
    "ModelPlugin",
    "Plugin",
    "SamplerPlugin",
    "files_fingerprint",
    "image_extensions",
    "option",
    "readable_name",
    "user_path",
]

# Training computes with numbers of 32 bits. The square of this, summed over the pairs of a batch, still is one.
LARGEST_NUMBER = 1e15

Distance = Literal["euclidean", "cosine"]
Halves = Literal["similar", "mixed"]

# Keys of a [[losses]] table that belong to the experiment: no loss may use them for an option; then those of each kind.
RESERVED = frozenset({"plugin", "label", "grid", "pretrain", "finetune"})
RESERVED_OF_KIND: dict[str, frozenset[str]] = {
    "loss": RESERVED,
    "model": frozenset({"plugin", "embedding_dim"}),
    "dataset": frozenset({"plugin"}),
    "sampler": frozenset({"plugin"}),
}

GROUPS: dict[str, str] = {
    "loss": "faceexp.losses",
    "model": "faceexp.models",
    "dataset": "faceexp.datasets",
    "sampler": "faceexp.samplers",
}


def option(default: Any, description: str, *, unit: str = "none", **bounds: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare one TOML option of a plugin.

    Args:
        default: Its value where the file gives none; ``...`` makes it required.
        description: What it does, one sentence.
        unit: What the number counts: ``"distance"``, ``"radians"``, ``"images"``, ``"none"``.
        bounds: pydantic's own (``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ...).
    """
    return Field(default, description=description, json_schema_extra={"unit": unit}, **bounds)


class Plugin(BaseModel):
    """What every plugin is: a frozen set of options, unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    # Whether `faceexp init` takes it for a first experiment: it suits most data and needs no option; of a data set, the
    # one option that is required names the folder of photos.
    suggested: ClassVar[bool] = False

    @classmethod
    def from_toml(cls, options: Mapping[str, Any]) -> Self:
        """Return the plugin with options as a TOML file gives them: lists for tuples, but no text for numbers.

        Raises:
            pydantic.ValidationError: An option is unknown, missing, ill-typed or out of bounds.
        """
        plugin = cls.model_validate_json(json.dumps(options, default=str), strict=True)
        misread = [
            InitErrorDetails(type=PydanticCustomError("option", wanted), loc=(name, *place), input=given)
            for name, value in options.items()
            for place, given, wanted in _misread(value, getattr(plugin, name, value))
        ]
        if misread:
            raise ValidationError.from_exception_data(cls.__name__, misread)
        return plugin


def _misread(given: object, read: object) -> Iterator[tuple[tuple[int | str, ...], object, str]]:
    """Yield the place of each value that pydantic has taken and should not have, the value, and what it should be.

    To Python, true is 1: a choice of numbers takes it. Larger numbers become infinite in training.
    """
    if isinstance(given, list) and isinstance(read, list | tuple):
        pairs: Iterable[tuple[int | str, object, object]] = zip(itertools.count(), given, read, strict=False)
    elif isinstance(given, dict) and isinstance(read, dict):
        pairs = ((key, given[key], read[key]) for key in given.keys() & read.keys())
    else:
        pairs = ()
        if isinstance(given, bool) and isinstance(read, int | float) and not isinstance(read, bool):
            yield (), given, "Input should be a number"
        elif isinstance(read, bool) and isinstance(given, int | float) and not isinstance(given, bool):
            yield (), given, "Input should be true or false"
        elif isinstance(read, float) and abs(read) > LARGEST_NUMBER:
            yield (), given, f"Input should be between -{LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}"
    for key, inner, inner_read in pairs:
        yield from (((key, *place), value, wanted) for place, value, wanted in _misread(inner, inner_read))


@dataclass(frozen=True)
class LossContext:
    """What a loss may know when it is built.

    Attributes:
        num_classes: Number of training identities; labels are ``0..num_classes-1``.
        embedding_dim: Width of the embedding.
        seed: For the initial values of the loss's own weights and of what it draws random numbers from, and for nothing
            else: the compiled training step is shared by all seeds of one loss, which differ in these values alone. A
            loss that draws uses ``faceexp.layers.random_layer`` or ``proxy_layer(..., random=True)``, which give it
            another seed at each call.
    """

    num_classes: int
    embedding_dim: int
    seed: int = 0


@dataclass(frozen=True)
class BatchNeeds:
    """What a batch must hold for a loss to learn from it.

    Attributes:
        classes: Different identities, at least.
        images_per_class: Images of some identity, at least.
        halves: ``"similar"``: rows i and i + B/2 show the same identity; ``"mixed"``: some of these pairs do, some
            do not; ``None``: the order of rows does not matter.
    """

    classes: int = 2
    images_per_class: int = 1
    halves: Halves | None = None

    def __post_init__(self) -> None:
        """Refuse what no batch can hold."""
        _check_batch(self, "classes", "images_per_class")


@dataclass(frozen=True)
class BatchSupply:
    """What a sampler promises of every batch.

    Attributes:
        size: Rows of a batch, B.
        classes: Different identities, at least; the training part must have that many.
        images_per_class: Images of an identity, at least; so many must each of ``classes`` identities have.
        halves: As in :class:`BatchNeeds`.
    """

    size: int
    classes: int = 1
    images_per_class: int = 1
    halves: Halves | None = None

    def __post_init__(self) -> None:
        """Refuse what no batch can hold."""
        _check_batch(self, "size", "classes", "images_per_class")

    @classmethod
    def by_image(cls, classes: int, images_per_class: int) -> Self:
        """Return what rows ordered by image hold: first images of all identities, then their second images, and so on.

        Where each identity has an even number of images, rows i and i + B/2 show the same one.
        """
        return cls(classes * images_per_class, classes, images_per_class, None if images_per_class % 2 else "similar")


def _check_batch(batch: BatchNeeds | BatchSupply, *counts: str) -> None:
    for name in counts:
        count = getattr(batch, name)
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} of {type(batch).__name__} is {count!r}, not a whole number from 1 on")
    if batch.halves not in (None, *get_args(Halves)):
        raise ValueError(f"halves of {type(batch).__name__} is {batch.halves!r}, not 'similar', 'mixed' or None")


@dataclass(frozen=True)
class LossTraits:
    """What a loss, with its options as they are, is made for."""

    distance: Distance
    needs: BatchNeeds
    xla: bool

    def __post_init__(self) -> None:
        """Refuse a distance that there is not, and values of other types."""
        if self.distance not in get_args(Distance):
            raise ValueError(f"the distance is {self.distance!r}, which is none of {', '.join(get_args(Distance))}")
        if not isinstance(self.needs, BatchNeeds):
            raise TypeError(f"needs is {self.needs!r}, not BatchNeeds(...)")
        if not isinstance(self.xla, bool):
            raise TypeError(f"xla is {self.xla!r}, not True or False")


class LossPlugin(Plugin, ABC):
    """A metric-learning loss.

    Class variables:
        reference: Paper or source.
        distance: The distance it is made for; distances are measured in it for the rank metrics.
        needs: What a batch must hold.
        xla: Whether its function compiles under XLA.
    """

    reference: ClassVar[str]
    distance: ClassVar[Distance]
    needs: ClassVar[BatchNeeds] = BatchNeeds()
    xla: ClassVar[bool] = True

    def traits(self) -> LossTraits:
        """Return what this loss is made for; override it where an option changes that."""
        return LossTraits(self.distance, self.needs, self.xla)

    @abstractmethod
    def build(self, ctx: LossContext) -> LossFunction:
        """Return a callable ``(labels int32 (B,), embeddings float32 (B, D)) -> float32 scalar``.

        A loss with weights returns a ``keras.layers.Layer`` that is called the same way; its trainable variables are
        trained along with the embedding.
        """


def pair_traits(loss: LossPlugin, *, normalize: bool, halves: bool = False) -> LossTraits:
    """Return the traits of a loss that has an option to normalise, and maybe one to compare the halves of a batch.

    Args:
        loss: The loss, whose own ``traits`` calls this.
        normalize: Whether it divides embeddings by their length: then it is made for the cosine, else for the
            Euclidean distance.
        halves: Whether its pairs are the rows i and i + B/2, of which some have to show the same identity, others not.
    """
    needs = replace(loss.needs, halves="mixed") if halves else loss.needs
    return LossTraits("cosine" if normalize else "euclidean", needs, loss.xla)


class ModelPlugin(Plugin, ABC):
    """A trunk: from images to a flat feature vector."""

    reference: ClassVar[str]

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return a model from normalised images float32 (B, H, W, C) to features float32 (B, F).

        The engine adds the dense embedding and the classifier head, so that every loss trains the same layer.
        """


@dataclass(frozen=True)
class FaceData:
    """A data set of faces: where the images are, whom they show.

    Attributes:
        images: Paths, decoded when they are needed, or one uint8 array (N, H, W) or (N, H, W, 3).
        labels: int32 (N,), the index into ``identities`` of each image.
        identities: Names of the people, without repetition.
        fingerprint: Hex digest of the content: other images or labels, other fingerprint.
        licence: Under which terms the images may be used.
        source: Where they come from.
        notes: What a reader of the results should know besides, such as what was left out; one sentence each.
    """

    images: Sequence[Path] | ByteArray
    labels: IntArray
    identities: tuple[str, ...]
    fingerprint: str
    licence: str
    source: str
    notes: tuple[str, ...] = ()


class DatasetPlugin(Plugin, ABC):
    """A source of face images with identities; ``licence`` and ``source`` are as in :class:`FaceData`."""

    licence: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def build(self, seed: int) -> FaceData:
        """Return the data, without decoding images; the seed matters only to data that are made, not found.

        Raises:
            InputError: Something is missing or unusable; one problem each, naming the path.
        """


class SamplerPlugin(Plugin, ABC):
    """A way to draw training batches."""

    @abstractmethod
    def supply(self) -> BatchSupply:
        """Return what every batch holds; planning compares it with what a loss needs and with the training part."""

    @abstractmethod
    def build(self, labels: IntArray, seed: int) -> Iterator[IntArray]:
        """Return an endless iterator of index arrays (B,) into ``labels``, the same for the same seed."""
