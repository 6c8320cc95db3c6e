"""The table ``[preprocess.detect]`` of an experiment file: how faces are found in photos and brought into place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from faceexp.experiment.table import Table

# The detector of files that name none; those of before could not name one.
USUAL = "haar"
# Where one point of a face is to lie, x and y in pixels.
TemplatePoint = Annotated[
    tuple[Annotated[float, Field(ge=-1024, le=2048)], Annotated[float, Field(ge=-1024, le=2048)]], Field(strict=False)
]


def _align_in_words(given: object) -> object:
    """Return how faces are aligned, of what older files say: true or false."""
    return given if not isinstance(given, bool) else "eyes" if given else "none"


Align = Literal["five_points", "eyes", "none"]


class Detect(Table):
    """How the face is found in a photo and brought into place."""

    plugin: str = Field(USUAL, description="Name of an installed detector; `faceexp list-plugins` shows them.")
    options: dict[str, Any] = Field(default_factory=dict, description="The detector's own options.")
    align: Annotated[
        Align,
        BeforeValidator(_align_in_words),
        WithJsonSchema({"enum": [*get_args(Align), True, False]}, mode="validation"),
    ] = Field(
        "eyes",
        description="five_points: lay eyes, nose and mouth on those of the template; eyes, or true: turn the face so "
        "that its eyes are level, where both are found; none, or false: leave it as it is.",
    )
    margin: float = Field(0.0, ge=0, le=2, description="Border to keep around the face, as a share of its side.")
    smallest: float = Field(0.1, gt=0, le=1, description="Smallest face, as a share of the photo's shorter side.")
    several: Literal["largest", "central", "error"] = Field(
        "largest",
        description="Whether the largest of several faces is taken, or the one nearest to the middle of the photo, or "
        "such a photo counts as unreadable.",
    )
    template: Annotated[tuple[TemplatePoint, ...], Field(min_length=5, max_length=5, strict=False)] | None = Field(
        None,
        description="five_points: where both eyes, the nose and both corners of the mouth are to lie, as [x, y] each, "
        "in an image of template_size; by default those of ArcFace.",
    )
    template_size: tuple[Annotated[int, Field(ge=8, le=1024)], Annotated[int, Field(ge=8, le=1024)]] | None = Field(
        None, strict=False, description="Height and width of the image that template is for; 112 x 112 by default."
    )

    @property
    def taken(self) -> str:
        """Which of several faces is taken, in words."""
        return "the one nearest to the middle" if self.several == "central" else "the largest"

    @model_validator(mode="after")
    def _template_is_used(self) -> Detect:
        for key in ("template", "template_size"):
            if getattr(self, key) is not None and self.align != "five_points":
                raise ValueError(f'{key} belongs to align = "five_points", not to {self.align!r}')
        if self.template_size is not None and self.template is None:
            raise ValueError("template_size belongs to template; give the five points, too")
        return self

    @model_serializer(mode="wrap")
    def _as_older_files_say_it(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # See Protocol: a file of before means the same run, and its crops are found again.
        later: dict[str, object] = {"plugin": USUAL, "options": {}, "template": None, "template_size": None}
        table = {key: value for key, value in write(self).items() if key not in later or value != later[key]}
        return {**table, "align": {"eyes": True, "none": False}.get(self.align, self.align)}


# What pydantic puts into the place of a mistake in such a table, and no file has there.
OWN_TABLE = "own table"


def _is_table(given: object) -> str:
    return "crops" if given is False else OWN_TABLE


# How the faces of a test set are found: false where its images are crops already.
OwnDetect = Annotated[
    Annotated[Literal[False], Tag("crops")] | Annotated[Detect, Tag(OWN_TABLE)], Discriminator(_is_table)
]


def off(given: object) -> object:
    """Return how faces are found, of what a file says: ``false`` is the same as no table."""
    return None if given is False else given


def inheriting(own: Mapping[str, Any], shared: object) -> dict[str, Any]:
    """Return a table of how faces are found, in which what it does not say is that of the shared table.

    Options are inherited by the same detector alone, and a template by a table that lays faces on it and gives none.

    Args:
        own: What a test set says.
        shared: What the file has as ``[preprocess.detect]``.
    """
    base = {"plugin": USUAL, **shared} if isinstance(shared, Mapping) else {"plugin": USUAL}
    if own.get("plugin", base["plugin"]) != base["plugin"]:
        base = {key: value for key, value in base.items() if key in Detect.model_fields.keys() - {"options"}}
    if "template" in own or own.get("align", "five_points") != "five_points":
        base = {key: value for key, value in base.items() if key not in ("template", "template_size")}
    return {**base, **own}
