"""The base classes of models: a trunk that is trained, and a network that is only run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract.plugin import Plugin

if TYPE_CHECKING:
    import keras

    from faceexp.arrays import ByteArray, FloatArray


class _NetworkPlugin(Plugin, ABC):
    """What both kinds of models may say of themselves."""

    reference: ClassVar[str]

    @property
    def trained(self) -> str:
        """What readers know its trained weights by, such as the name of a file; empty where it starts from random ones.

        Phase 1 leaves a trunk with trained weights as it is, unless the file says otherwise.
        """
        return ""

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None] | None:
        """Height, width and channels of the images that it takes, as far as that is fixed; ``None``: any."""
        return None

    def check(self, input_shape: tuple[int, int, int]) -> None:
        """Refuse images that it does not take, as far as that can be told within a second and without TensorFlow.

        It is called when an experiment is read, so that a mistake is told at its line before any image is decoded. What
        it lets pass, opening or building the network may still refuse.

        Raises:
            InputError: It takes other images, or gives no features.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses it should know, one sentence each, such as that a network still ends in a classifier."""
        return ()

    @classmethod
    def options_for(cls, path: Path) -> Mapping[str, Any] | None:  # noqa: ARG003 - for those that open files
        """Return the options by which it opens a file or folder, by its name alone; ``None`` where it does not.

        So ``faceexp evaluate FILE`` knows which plugin opens a file that somebody has.
        """
        return None


class ModelPlugin(_NetworkPlugin, ABC):
    """A trunk: from images to a flat feature vector."""

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes pixels from 0 to 255 and scales them itself.

        Otherwise they are normalised by the mean and deviation of the training images, so that it cannot be measured
        without any.
        """
        return False

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return a model from normalised images float32 (B, H, W, C) to features float32 (B, F).

        The engine adds the dense embedding and the classifier head, so that every loss trains the same layer.
        """


class FixedModelPlugin(_NetworkPlugin, ABC):
    """A network that exists and is only run, never trained, such as a file of ONNX.

    In ``[model]`` it is a trunk whose features are computed once; the embedding layer is trained on them. In
    ``[[pretrained]]`` its features are the embeddings.

    Class variables:
        is_program: Whether what it opens can do anything on a computer, as a SavedModel can. Then an experiment has to
            say that it is trusted, and so has whoever opens a model that rests on it.
        form: The format of the file, such as ``"onnx"``, if it is one of those of ``faceexp export``, which copies it.
    """

    is_program: ClassVar[bool] = False
    form: ClassVar[str | None] = None

    @property
    @abstractmethod
    def trained(self) -> str:
        """What readers know its trained weights by, such as the name of a file."""

    @abstractmethod
    def open(self, input_shape: tuple[int, int, int]) -> Callable[[ByteArray], FloatArray]:
        """Return the function from pixels uint8 (B, H, W, C), red first, to features float32 (B, F); B may vary.

        Raises:
            InputError: The file cannot be opened, or takes other images, or gives no features.
        """

    def as_function(self, input_shape: tuple[int, int, int]) -> Callable[[Any], Any] | None:  # noqa: ARG002
        """Return the same as a function of TensorFlow, from which ``faceexp export`` makes other formats.

        It takes a tensor of pixels from 0 to 255, float32 (B, H, W, C), and gives one of features, float32 (B, F).
        ``None``, which is so unless a plugin says otherwise: it is not run by TensorFlow, and its file is only copied.

        Raises:
            InputError: As :meth:`open`.
        """
        return None
