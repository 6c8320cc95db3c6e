"""Phase 1 as the experiment file has it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from faceexp.experiment.optimization import Optimization
from faceexp.experiment.table import PluginRef

# More devices than any machine has, and few enough that a mistyped number makes no thousands of them.
MOST_REPLICAS = 64


class Pretrain(Optimization):
    """Phase 1: classification of the training people; it runs once per seed and fold."""

    later: ClassVar[tuple[str, ...]] = (*Optimization.later, "trainable", "loss")

    enabled: bool = Field(
        True,
        description="False starts phase 2 without it: from random weights, or from a trunk's own. It is false by "
        "itself for a network that is only run, such as an ONNX file.",
    )
    trainable: Literal["head", "all"] | None = Field(
        None,
        description="Only the dense embedding layer and the classifier, or all weights. Without it, all weights are "
        "trained of a trunk that starts from random ones, and a trunk with trained weights is left as it is.",
    )
    loss: PluginRef | None = Field(
        None,
        description="The loss that classifies, by its name or as a table with its options; it has to have weights of "
        "its own, such as proxies. Without it, softmax behind a dense layer does.",
    )
    epochs: int = Field(15, ge=1, description="Passes over the training part.")
    batch_size: int = Field(64, ge=1, description="Images per step.")
    replicas: int = Field(
        1,
        ge=1,
        le=MOST_REPLICAS,
        description="On how many devices each step computes, each on an even part of the batch: on the first GPUs or, "
        "where no GPU trains, on the processor, divided into so many devices.",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of the embedding that dropout sets to 0 before the classifier."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop after so many epochs without a better validation score of the embedding, and keep the best "
        "epoch's weights; without it, all epochs are trained and the last weights kept.",
    )

    @model_validator(mode="after")
    def _is_divided_evenly(self) -> Pretrain:
        if rest := self.batch_size % self.replicas:
            fewer, more = self.batch_size - rest, self.batch_size - rest + self.replicas
            sizes = f"{fewer} or {more}" if fewer else f"{more}"
            shared = f"{self.batch_size} images of a batch cannot be shared evenly among {self.replicas} replicas"
            raise ValueError(f"{shared}; use a batch_size of {sizes}")
        return self

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Optimization, where nothing is said by None; here it is said by 1.
        written = {key: value for key, value in write(self).items() if key not in self.later or value is not None}
        return {key: value for key, value in written.items() if (key, value) != ("replicas", 1)}

    def steps_until(self, epoch: int, images: int) -> int:
        """Return after which step an epoch ends, counted from 1, if the training part has so many images."""
        return max(1, round(epoch * images / self.batch_size))
