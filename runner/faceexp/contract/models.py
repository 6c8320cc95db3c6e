"""The base class of trunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract.plugin import Plugin

if TYPE_CHECKING:
    import keras


class ModelPlugin(Plugin, ABC):
    """A trunk: from images to a flat feature vector."""

    reference: ClassVar[str]

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return a model from normalised images float32 (B, H, W, C) to features float32 (B, F).

        The engine adds the dense embedding and the classifier head, so that every loss trains the same layer.
        """
