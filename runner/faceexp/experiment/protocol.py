"""Who is trained on, who is tested on: the table [protocol]."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from faceexp.experiment.evaluation import TemplateFiles
from faceexp.experiment.table import Table

# The parts of a protocol, in the order in which the program names them.
PARTS = ("train", "validation", "test")


class Protocol(Table):
    """Who is trained on, who is tested on."""

    kind: Literal["open_set", "closed_set", "pairs_file", "listed"] = Field(
        description="open_set: people in test are never seen in training; closed_set: the same people, other images; "
        "pairs_file: listed pairs, in folds; nobody of the tested fold is trained on; "
        "listed: a list of people or images for each part."
    )
    path: str | None = Field(
        None,
        min_length=1,
        description="pairs_file: the list of pairs, relative to the experiment file; without it, the pairs that came "
        "with the data set are judged.",
    )
    template_list: TemplateFiles | None = Field(
        None,
        description="The list of templates, one file or several, as IJB has them: image, template and medium; pairs "
        "are those of templates. Not for listed.",
    )
    train: str | None = Field(
        None,
        min_length=1,
        description="listed: the file of the people or images to train on, one a line; relative to the experiment "
        "file.",
    )
    validation: str | None = Field(
        None, min_length=1, description="listed: the same for thresholds and checkpoints to be chosen on."
    )
    test: str | None = Field(None, min_length=1, description="listed: the same for the final measurement.")
    split_seed: int | None = Field(
        None,
        ge=0,
        lt=2**31,
        description="Cut the people (or images) by this number, the same way for every seed, so that seeds vary only "
        "the training; without it, each seed has its own split.",
    )
    folds: int = Field(
        1,
        ge=1,
        le=100,
        description="Cross-validation folds per seed; 1 is a single split. pairs_file has its own, listed has none.",
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of people (open_set) or of each person's images (closed_set); folds = 1."
    )
    validation_fraction: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share, of what is not test, that thresholds and checkpoints are chosen on; by default a quarter. "
        "pairs_file: share of the other folds, by default all of them; the people of the rest are trained on.",
    )
    min_images: int | None = Field(
        None, ge=1, description="Leave out people with fewer images; without it, a person with too few is an error."
    )

    @model_validator(mode="before")
    @classmethod
    def _thresholds_of_the_other_folds(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file says
        if isinstance(given, dict) and given.get("kind") == "pairs_file":
            return {"validation_fraction": 1.0, **given}
        return given

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Protocol:
        lists = {part: getattr(self, part) for part in PARTS}
        if self.kind == "listed":
            lacking = [part for part, path in lists.items() if path is None]
            if lacking:
                raise ValueError(f"listed needs {' and '.join(lacking)}, the list of each part")
            if self.folds != 1 or self.split_seed is not None:
                key = "folds" if self.folds != 1 else "split_seed"
                raise ValueError(f"listed takes its parts from the lists; leave {key} out")
        elif given := [part for part, path in lists.items() if path is not None]:
            verb = "belongs" if len(given) == 1 else "belong"
            raise ValueError(f"{' and '.join(given)} {verb} to listed, not to {self.kind}")
        if self.kind == "pairs_file":
            if self.folds != 1:
                raise ValueError("pairs_file takes its folds from the list; leave folds out")
        elif self.path is not None:
            raise ValueError(f"path belongs to pairs_file, not to {self.kind}")
        elif self.validation_fraction == 1:
            raise ValueError(f"validation_fraction = 1 leaves nothing to train on under {self.kind}")
        return self

    @model_validator(mode="after")
    def _lists_of_templates_fit(self) -> Protocol:
        if self.template_list is not None and self.kind == "listed":
            raise ValueError("template_list does not go with listed, whose lists name images")
        if self.template_list is not None and self.kind == "pairs_file" and self.path is None:
            raise ValueError("template_list needs path, the list of pairs of templates")
        return self

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A run's folder is named after a digest of this. A key that came later and is not given stays out, so that a
        # file of before means the same run.
        later = (*PARTS, "split_seed", "template_list")
        return {key: value for key, value in write(self).items() if key not in later or value is not None}

    @property
    def seeds_share_test(self) -> bool:
        """Whether every seed tests the same people, so that the spread between seeds is that of training alone."""
        return self.kind in ("pairs_file", "listed") or self.split_seed is not None
