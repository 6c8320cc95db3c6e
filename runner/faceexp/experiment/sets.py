"""Further sets of faces that a run is measured on: the tables [[test_sets]]."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from faceexp.experiment.detect import OwnDetect
from faceexp.experiment.evaluation import TemplateFiles
from faceexp.experiment.table import PluginRef, Table

# What a run calls its own parts and the columns of its tables; a set of that name could not be told from them.
TAKEN = ("train", "validation", "test")

Overlap = Literal["error", "warn", "drop"]


def _set_name(name: str) -> str:
    """Return the name of a set, which also names files, or refuse it."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", name):
        raise ValueError("must be 1 to 40 letters and digits of ASCII, with _ . and - between them")
    if name.casefold() in TAKEN:
        raise ValueError("must not be what a run calls a part of its own data; choose another name")
    return name


class SetProtocol(Table):
    """Which pairs of a test set are judged."""

    kind: Literal["all_pairs", "pairs_file"] = Field(
        "all_pairs",
        description="all_pairs: every two images of the set; pairs_file: those that a list names, or, without path, "
        "those that the data set brings itself.",
    )
    path: str | None = Field(
        None, min_length=1, description="pairs_file: the list of pairs; relative to the experiment file."
    )
    template_list: TemplateFiles | None = Field(
        None,
        description="The list of templates, one file or several, as IJB has them: pairs are those of templates; "
        "relative to the experiment file.",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> SetProtocol:
        if self.kind == "all_pairs" and self.path is not None:
            raise ValueError("path belongs to pairs_file, not to all_pairs")
        if self.kind == "pairs_file" and self.path is None and self.template_list is not None:
            raise ValueError("template_list needs path, the list of pairs of templates, or all_pairs")
        return self

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Protocol.
        return {key: value for key, value in write(self).items() if key != "template_list" or value is not None}


class SetEntry(Table):
    """Faces that are only measured: nothing is trained, chosen or tuned on them."""

    name: Annotated[str, AfterValidator(_set_name)] = Field(
        description="What tables and files call it, such as lfw; not train, validation or test."
    )
    dataset: PluginRef = Field(description="Where its faces come from.")
    protocol: SetProtocol = SetProtocol()
    overlap: Overlap = Field(
        "error",
        description="What is done where people or images of the set are in the data set that is trained on as well. "
        "error: the run does not begin; warn: they are measured, and the report says so; drop: these people are left "
        "out of the set, never out of training.",
    )
    detect: OwnDetect | None = Field(
        None,
        description="How the faces of its photos are found: false where its images are crops already, or a table with "
        "the keys of [preprocess.detect], which it inherits; by default as in [preprocess.detect].",
    )

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Protocol.
        return {key: value for key, value in write(self).items() if key != "detect" or value is not None}
