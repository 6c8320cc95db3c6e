"""What is measured beyond the metrics that every run has: the table [evaluation]."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from faceexp.experiment.groups import Grouping
from faceexp.experiment.table import Table, unique


def _grouping(text: str) -> str:
    """Return a text that names a column and perhaps bands, or refuse it."""
    Grouping.of(text)
    return text


# The column that a list of templates makes, unless the file names another one.
TEMPLATE = "template"
FileName = Annotated[str, Field(min_length=1)]


def _as_several(given: Any) -> Any:  # noqa: ANN401 - whatever the file says
    """Return one file as a list of one."""
    return (given,) if isinstance(given, str) else given


# The files of a list of templates: one, or several in a list.
TemplateFiles = Annotated[
    tuple[FileName, ...],
    Field(min_length=1, max_length=20, strict=False),
    AfterValidator(unique),
    BeforeValidator(_as_several, json_schema_input_type=FileName | Annotated[list[FileName], Field(min_length=1)]),
]
GroupText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_grouping)]


class Evaluation(Table):
    """What is measured beyond the metrics; a key that is not given measures nothing more."""

    choose_by: Literal["auc", "map_at_r"] = Field(
        "auc",
        description="What checkpoints, settings and the epochs of early stopping are chosen by, on validation images: "
        "the area under the ROC curve of their pairs, or MAP@R, which asks more of the nearest images.",
    )
    groups: Annotated[tuple[GroupText, ...], Field(strict=False, max_length=20), AfterValidator(unique)] = Field(
        (),
        description="Columns of the data set whose values are groups, such as sex or ethnicity: false match rate and "
        'false non-match rate are measured within each. Numbers need the edges of bands: "age:0-30-50-120".',
    )

    fars: (
        Annotated[
            tuple[Annotated[float, Field(gt=0, lt=1)], ...],
            Field(min_length=1, max_length=20, strict=False),
            AfterValidator(unique),
        ]
        | None
    ) = Field(
        None,
        description="The false accept rates at which the true accept rate is measured, such as [1e-3, 1e-4]; each that "
        "too few pairs or people of the test part could show is refused. Without it: 0.01 and 0.001.",
    )
    flip: bool = Field(
        False,
        description="Embed every image together with its mirror image: the sum of both embeddings, of length 1. It "
        "holds for thresholds, test and use; pixels and PCA are measured as they are.",
    )
    identification: bool = Field(
        False,
        description="Enrol half of the test people in a gallery and search for everybody's photos in it: TPIR at FPIR, "
        "and CMC.",
    )

    templates: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="A column of the data set: images of one person that share its value are one template, judged by "
        "the mean of their embeddings, weighted by the column `quality` where there is one; those that share a value "
        "of the column `media` are averaged first. With a list of templates, it is `template` by itself.",
    )

    @property
    def views(self) -> int:
        """How many views of each image its embedding is made of."""
        return 2 if self.flip else 1

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Protocol: a key that came later and is not given stays out of what a run's folder is named after.
        usual = {key: field.default for key, field in type(self).model_fields.items()}
        return {key: value for key, value in write(self).items() if getattr(self, key) != usual[key]}
