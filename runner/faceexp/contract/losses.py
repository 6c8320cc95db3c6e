"""The base class of losses, and what a loss knows and says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from faceexp.contract.plugin import Plugin
from faceexp.contract.samplers import BatchNeeds

if TYPE_CHECKING:
    import tensorflow as tf

    LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
else:
    # Only annotations name this type; importing TensorFlow for it would cost every command seconds.
    LossFunction = Any


Distance = Literal["euclidean", "cosine"]


@dataclass(frozen=True)
class LossContext:
    """What a loss may know when it is built.

    Attributes:
        num_classes: Number of training identities; labels are ``0..num_classes-1``. Where a file samples identities, it
            is how many take part in a step, and labels count these.
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

        It also takes embeddings of other precisions, and computes in float32: ``faceexp.tensors.as_float32``.

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
