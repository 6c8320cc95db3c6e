"""Which models a run keeps: the table [keep]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faceexp.experiment.table import Table

Models = Literal["best", "all", "none"]


class Keep(Table):
    """What a run leaves on the disk beside its results; none of it changes a number."""

    models: Models = Field(
        "best",
        description="best: of each row the model whose validation score is the highest; all: the model of every trial; "
        "none: no model. The network of a model that is not kept is removed from the store as well; its trial is "
        "trained again where the model is asked for later.",
    )
