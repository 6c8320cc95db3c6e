"""What an experiment file means: frozen values, with plugins still only names and options."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from faceexp.contract import Distance
from faceexp.experiment import pretraining, table
from faceexp.experiment.asked import USUAL_OF_LISTS, Asked, Limits
from faceexp.experiment.baselines import BASELINES, PHASE1, UNTRAINED, Baseline, BaselineKey
from faceexp.experiment.detect import Detect, off
from faceexp.experiment.device import AUTO, Device
from faceexp.experiment.evaluation import TEMPLATE, Evaluation
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.keep import Keep
from faceexp.experiment.loss_part import LossPart
from faceexp.experiment.optimization import Optimization, Proxies
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.published import Published
from faceexp.experiment.search import Search
from faceexp.experiment.sets import SetEntry
from faceexp.experiment.table import Options, Table, unique

# Tables of other modules name plugins as well; this is where most look for how they do it, and for phase 1.
PluginRef = table.PluginRef
Pretrain = pretraining.Pretrain
# What the layers of a network compute in: the names that Keras has for its policies.
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
FLOAT32: Precision = "float32"
# Tables that say where something of a run is done or told: nobody else has these places, and no trial depends on them.
OF_A_SITE = frozenset({"trackers", "executor"})
# Tables that change no trial, so that runs which differ in them have one folder and one store.
WITHOUT_EFFECT = OF_A_SITE | {"limits", "keep"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class Preprocess(Table):
    """How images become arrays; the same for training, evaluation and use."""

    size: tuple[Annotated[int, Field(ge=8, le=1024)], Annotated[int, Field(ge=8, le=1024)]] = Field(
        (96, 96), strict=False, description="Height and width after resizing, in pixels."
    )
    color: Literal["gray", "rgb"] = Field("gray", description="One channel or three.")
    on_unreadable: Literal["error", "skip"] = Field(
        "error", description="Whether an image that cannot be decoded stops the run or is left out."
    )
    detect: Annotated[Detect | None, BeforeValidator(off)] = Field(
        None, description="Find and crop the face; without it, or with false, images are taken whole."
    )

    def of_set(self, entry: SetEntry) -> Preprocess:
        """Return how the images of a test set become arrays: its faces may be found in another way."""
        return self if entry.detect is None else self.model_copy(update={"detect": entry.detect or None})


class Augment(Table):
    """Random changes to training images, drawn anew at every step; what is 0 or false is off."""

    flip: bool = Field(
        False, description="Mirror each training image left to right with probability 1/2; always in both phases."
    )
    crop: float = Field(
        0.0, ge=0, le=0.5, description="Zoom in or out, and shift each way, by up to this share of the image's side."
    )
    color: float = Field(
        0.0, ge=0, le=1, description="Change brightness, as a share of 255, and contrast by up to this share."
    )
    blur: float = Field(
        0.0, ge=0, le=10, description="Blur each image by a Gaussian with a sigma of up to this many pixels."
    )
    cutout: float = Field(
        0.0, ge=0, le=0.5, description="Erase a rectangle of up to this share of the image's area, to the mean value."
    )
    phase2: bool = Field(
        False,
        description="Whether crop, color, blur and cutout are made in phase 2 as well, where the trunk then runs at "
        "every step, which takes far longer than features that are computed once.",
    )

    @property
    def beyond_flip(self) -> bool:
        """Whether images change in more ways than the two that can be kept."""
        return any((self.crop, self.color, self.blur, self.cutout))


class ModelRef(table.PluginRef):
    """The trunk, the width of the embedding behind it, and what both compute in."""

    embedding_dim: int = Field(128, ge=1, le=65536, description="Width of the dense embedding layer.")
    precision: Precision = Field(
        FLOAT32,
        description="What the layers compute in. With a mixed one it is numbers of 16 bits, which is faster on devices "
        "made for it; weights, losses and what losses are given stay float32.",
    )

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Protocol: a key that came later and says nothing new stays out of what a run's folder is named after.
        return {key: value for key, value in write(self).items() if (key, value) != ("precision", FLOAT32)}


class Finetune(Optimization):
    """Phase 2: the metric loss."""

    later: ClassVar[tuple[str, ...]] = (*Optimization.later, "proxies")

    sampler: PluginRef = Field(description="How training batches are drawn.")
    trainable: Literal["embedding", "all"] = Field(
        "embedding", description="Only the dense embedding layer, on features computed once, or all weights."
    )
    steps: int = Field(600, ge=1, description="Optimiser steps.")
    validate_every: int = Field(50, ge=1, description="Steps between checkpoints; the best on validation is kept.")
    proxies: Proxies | None = Field(None, description="What differs for the weights of the loss, such as its proxies.")

    @model_validator(mode="after")
    def _schedule_ends_in_time(self) -> Finetune:
        beyond = [steps for steps in (self.schedule.counted if self.schedule else []) if steps >= self.steps]
        if beyond:
            raise ValueError(f"schedule names step {beyond[0]:g}, and there are {self.steps} steps")
        return self


class LossEntry(Table):
    """One row of the comparison: a loss or a weighted sum of several, with options, and how it is trained."""

    plugin: str = ""
    label: str
    options: Options = Field(default_factory=dict)
    combine: tuple[LossPart, ...] = Field((), description="The losses whose weighted sum it is, in the place of one.")
    distance: Distance | None = Field(
        None,
        description="Beside combine: the distance by which embeddings are compared, where its parts are made for "
        "different ones.",
    )
    pretrain: Pretrain
    finetune: Finetune
    index: int = Field(0, exclude=True, description="Which [[losses]] table of the file it comes from.")
    setting_of: str = Field(
        "",
        exclude=True,
        description="The name of the loss that this is one of several settings of: the table has one row for it, that "
        "of the setting which is best on validation people. A grid gives its points one name by itself.",
    )

    @property
    def parts(self) -> tuple[LossPart, ...]:
        """The losses of the sum; one of weight 1 where it is no sum."""
        return self.combine or (LossPart(plugin=self.plugin, options=self.options),)

    @property
    def name(self) -> str:
        """The name of its plugin, or of those that it sums: ``arcface + center``."""
        return " + ".join(part.plugin for part in self.parts)

    @model_serializer(mode="wrap")
    def _as_older_files_say_it(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # See Experiment: what is found by the digest of a loss that is no sum is found again.
        left_out = ("plugin", "options") if self.combine else ("combine", "distance")
        return {key: value for key, value in write(self).items() if key not in left_out}


class PretrainedEntry(Table):
    """A row of the comparison that is only measured: an embedding that exists already."""

    plugin: str
    label: str = Field("", description="Name of the row; by default what the plugin calls its weights.")
    distance: Distance = Field("cosine", description="The distance by which its embeddings are compared.")
    options: Options = Field(default_factory=dict, description="The plugin's own options.")
    index: int = Field(0, exclude=True, description="Which [[pretrained]] table of the file it comes from.")


class Experiment(Table):
    """An experiment file, complete and checked, but for the plugins' own options."""

    name: Name = Field(description="Names the run's folder.")
    description: str = Field("", description="What the experiment is for.")
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1, strict=False), AfterValidator(unique)
    ] = Field(
        (0,),
        description="Each seed has its own weights and batches, and its own split unless protocol.split_seed is given.",
    )
    device: Device = Field(
        AUTO,
        description="What trains: auto, the first GPU if TensorFlow finds one and else the processor; cpu, the "
        "processor; or a GPU by its number, such as gpu:0.",
    )
    dataset: PluginRef = Field(description="Where the faces come from.")
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    protocol: Protocol
    model: ModelRef | None = Field(None, description="The network that losses train; needed where there is a loss.")
    pretrain: Pretrain = Pretrain()
    finetune: Finetune | None = Field(None, description="Phase 2; needed where there is a loss.")
    search: Search | None = Field(None, description="Settings of the losses are searched for before they are compared.")
    baselines: Annotated[tuple[BaselineKey, ...], Field(strict=False), AfterValidator(unique)] = Field(
        tuple(BASELINES), description="Baselines to compare the losses with."
    )
    evaluation: Evaluation = Evaluation()
    verdict: Asked = Asked()
    limits: Limits = Limits()
    keep: Keep = Keep()
    trackers: Annotated[tuple[PluginRef, ...], Field(strict=False)] = Field(
        (), description="What hears of the trials as they end and records them elsewhere; none of it changes a number."
    )
    executor: ExecutorRef | None = Field(None, description="Where trials run; by default in processes of this machine.")
    published: Published | None = Field(None, description="Results of others, to be judged beside those of the run.")
    test_sets: Annotated[tuple[SetEntry, ...], Field(strict=False)] = Field(
        (), description="Further faces that every row is measured on; nothing is trained, chosen or tuned on them."
    )
    pretrained: Annotated[tuple[PretrainedEntry, ...], Field(strict=False)] = Field(
        (), description="Embeddings that exist already, which are only measured; they are compared with the losses."
    )
    losses: tuple[LossEntry, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lists_are_judged_by_accuracy(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file says
        """A list of pairs is a protocol of verification: its field reports accuracy on these very pairs."""
        if isinstance(given, dict) and isinstance(given.get("protocol"), dict):
            verdict = given.get("verdict", {})
            if given["protocol"].get("kind") == "pairs_file" and isinstance(verdict, dict):
                return {**given, "verdict": {**USUAL_OF_LISTS, **verdict}}
        return given

    @model_validator(mode="before")
    @classmethod
    def _listed_templates_are_judged(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file says
        """A list of templates makes a column of that name, which is what is judged by."""
        if not isinstance(given, dict):
            return given
        sets = given.get("test_sets")
        protocols = [each.get("protocol") for each in sets if isinstance(each, dict)] if isinstance(sets, list) else []
        lists = any(isinstance(each, dict) and "template_list" in each for each in (given.get("protocol"), *protocols))
        evaluation = given.get("evaluation", {})
        if lists and isinstance(evaluation, dict):
            return {**given, "evaluation": {"templates": TEMPLATE, **evaluation}}
        return given

    @model_validator(mode="after")
    def _search_has_seeds_of_its_own(self) -> Experiment:
        shared = sorted({*self.search.seeds} & {*self.seeds}) if self.search else []
        if shared:
            raise ValueError(f"seed {shared[0]} is one of the comparison as well; give the search other seeds")
        return self

    @model_validator(mode="after")
    def _listed_pairs_have_no_neighbours(self) -> Experiment:
        if self.protocol.kind == "pairs_file" and self.evaluation.choose_by == "map_at_r":
            raise ValueError('evaluation.choose_by = "map_at_r" needs all pairs of images; the list has some')
        return self

    @model_validator(mode="after")
    def _losses_need_a_network(self) -> Experiment:
        if self.losses and (lacking := [key for key in ("model", "finetune") if getattr(self, key) is None]):
            raise ValueError(f"lacks {' and '.join(f'[{key}]' for key in lacking)}, which every loss needs")
        return self

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # As in Protocol: a table that came later and is not given stays out of what a run's folder is named after.
        later = ("pretrained", "evaluation", "model", "finetune", "test_sets", "search", "trackers", "executor")
        written = {key: value for key, value in write(self).items() if key not in later or value}
        return written if self.device != AUTO else {key: value for key, value in written.items() if key != "device"}

    @property
    def used_baselines(self) -> tuple[Baseline, ...]:
        """The baselines that have trials: without phase 1 there is no phase-1 embedding, without a trunk neither."""
        baselines = [BASELINES[key] for key in self.baselines]
        without = () if self.model and self.pretrain.enabled else (PHASE1,) if self.model else (UNTRAINED, PHASE1)
        return tuple(baseline for baseline in baselines if baseline not in without)

    @property
    def replicas(self) -> int:
        """On how many devices phase 1 computes, for every loss; 1 where none has a phase 1."""
        tables = (self.pretrain, *(row.pretrain for row in self.losses))
        return self.pretrain.replicas if any(table.enabled for table in tables) else 1

    @property
    def trunk(self) -> ModelRef:
        """The network that losses train.

        Raises:
            ValueError: There is none, since nothing is trained.
        """
        if self.model is None:
            raise ValueError("an experiment without losses has no trunk")
        return self.model

    @property
    def views(self) -> int:
        """How many views of each image have features: 2 where images are mirrored, in training or when embedded."""
        return 2 if self.augment.flip or self.evaluation.flip else 1

    @property
    def asks_as_usual(self) -> bool:
        """Whether the file asks what every file asks that has no table for it."""
        return self.verdict == (Asked(**USUAL_OF_LISTS) if self.protocol.kind == "pairs_file" else Asked())
