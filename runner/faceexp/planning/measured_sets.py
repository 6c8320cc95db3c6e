"""Test sets: their data loaded, compared with the data set that is trained on, and made part of the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from faceexp.arrays import ByteArray, IntArray
from faceexp.contract import FaceData
from faceexp.data import overlap
from faceexp.data.face_data import image_name
from faceexp.data.test_set import PlannedSet, Shared
from faceexp.errors import InputError
from faceexp.planning.decoding import decoded_of
from faceexp.planning.groups import fault_of, group_texts, groups_of
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.planning.listed_pairs import pairs_to_judge
from faceexp.planning.listed_templates import with_template_list
from faceexp.planning.lost import lost_images, lost_note
from faceexp.planning.set_notes import refusal, set_notes
from faceexp.planning.templates import Members
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Store, content_of, digest, source_digest
from faceexp.values import EventCallback, Note, Resolved, ResolvedSet

Build = Callable[[ConfiguredPlugin], FaceData]


@dataclasses.dataclass(frozen=True)
class BuiltSet:
    """A test set whose images were not decoded yet.

    Attributes:
        place: Of its table in the experiment file.
        resolved: What the file says of it.
        data: Its data.
        pairs: int (P, 2), the images of its pairs; ``None``: all pairs.
        folds: int (P,), the fold of each pair; ``None`` unless there are several.
        measured: int (M,), the images that are measured: all of them, or those that a list names.
        members: What these pairs stand for: two images, or two templates.
        alike: The people who are named alike, by their places in the data set that is trained on, and in this one.
    """

    place: int
    resolved: ResolvedSet
    data: FaceData
    pairs: IntArray | None
    folds: IntArray | None
    measured: IntArray
    members: Members
    alike: list[tuple[int, int]]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.resolved.entry.name

    def issue(self, message: str, *keys: str) -> Issue:
        """Return a mistake at its table."""
        return Issue(("test_sets", self.place, *keys), message)


def build_sets(
    sets: Sequence[ResolvedSet], training: FaceData, build: Build, column: str | None = None
) -> list[BuiltSet]:
    """Return the data of test sets, without decoding their images.

    Args:
        sets: The test sets.
        training: The data set that is trained on.
        build: Builds the data of a set.
        column: The column whose values are templates, if these are judged.

    Raises:
        UnplannableError: A set is too small, or shares people by name and must not.
        InputError: A file of a set is unusable.
    """
    built: list[BuiltSet] = []
    issues: list[Issue] = []
    for place, resolved in enumerate(sets):
        try:
            data = with_template_list(build(resolved.dataset), resolved.templates, resolved.pairs, column)
        except InputError as error:
            if any(problem.where for problem in error.problems):
                raise
            issues += [Issue(("test_sets", place, "dataset"), problem.message) for problem in error.problems]
            continue
        try:
            of_folds = pairs_to_judge(data, resolved.entry.protocol, resolved.pairs, column)
        except UnplannableError as error:
            issues += [Issue(("test_sets", place, *issue.path), issue.message) for issue in error.issues]
            continue
        pairs = np.concatenate(of_folds) if of_folds else None
        folds = np.repeat(np.arange(len(of_folds)), [len(fold) for fold in of_folds]) if len(of_folds) > 1 else None
        # Whom a list of pairs does not name is not measured, and may be anybody.
        members = Members.of(data, resolved.pairs, column)
        measured = np.arange(len(data.labels)) if pairs is None else members.images(of_folds)
        people = set(data.labels[measured].tolist())
        # Where only pairs are known, names are made up.
        is_named = training.people_known and data.people_known
        named_alike = overlap.named_alike(training.identities, data.identities) if is_named else []
        alike = [pair for pair in named_alike if pair[1] in people]
        one = BuiltSet(place, resolved, data, pairs, folds, measured, members, alike)
        built.append(one)
        if lack := _lack(data.labels, pairs):
            issues.append(one.issue(lack))
        elif resolved.entry.overlap == "error" and one.alike:
            issues.append(one.issue(refusal(_of_people(one, training))))
    if issues:
        raise UnplannableError(issues)
    return built


@dataclasses.dataclass(frozen=True)
class DecodedSets:
    """Test sets, ready to be measured.

    Attributes:
        sets: What the plan says of them.
        images: Their images in the store, and which of them are used.
        notes: What a reader should know of them.
    """

    sets: tuple[PlannedSet, ...]
    images: tuple[tuple[Artefact, IntArray], ...]
    notes: tuple[Note, ...]

    @property
    def key(self) -> str:
        """A digest of what determined their images; empty if there are none."""
        return digest([[artefact.key, rows.tolist()] for artefact, rows in self.images]) if self.images else ""


def decode_sets(
    built: Sequence[BuiltSet],
    training: FaceData,
    decoded: Artefact,
    resolved: Resolved,
    first: int,
    store: Store,
    on_event: EventCallback,
) -> DecodedSets:
    """Decode the images of test sets, and compare them with those of the data set that is trained on.

    Args:
        built: Their data.
        training: The data set that is trained on.
        decoded: All of its images.
        resolved: How images are prepared.
        first: The place of their first image among the images of the plan.
        store: Where images are kept.
        on_event: Is called with progress.

    Raises:
        UnplannableError: A set shares images and must not, or is too small.
        InputError: An image is unusable.
    """
    sets: list[PlannedSet] = []
    images: list[tuple[Artefact, IntArray]] = []
    notes: list[Note] = []
    issues: list[Issue] = []
    for one in built:
        preprocess = resolved.experiment.preprocess.of_set(one.resolved.entry)
        artefact, warnings = decoded_of(one.data, preprocess, one.resolved.detector, store, on_event, one.name)
        of_images, people = _shared_images(one, training, artefact, decoded, store)
        mode = one.resolved.entry.overlap
        if mode == "error" and of_images:
            issues.append(one.issue(refusal(of_images)))
            continue
        shared = [*_of_people(one, training), *of_images]
        people |= {person for _, person in one.alike}
        readable: IntArray = np.load(artefact.path / "kept.npy", allow_pickle=False)
        left_out = sorted(people) if mode == "drop" else []
        is_measured = np.isin(readable, one.measured)
        is_used = is_measured & ~np.isin(one.data.labels[readable], left_out)
        used = readable[is_used]
        planned = _planned(one, used, first, readable, left_out)
        if mode == "drop":
            planned = dataclasses.replace(
                planned, dropped_people=len(people), dropped_images=int(is_measured.sum()) - len(used)
            )
        columns = {name: values[used] for name, values in one.data.columns.items()}
        faults = {text: fault_of(columns, text) for text in resolved.experiment.evaluation.groups}
        groups = groups_of(columns, planned.labels, [text for text, fault in faults.items() if not fault])
        planned = dataclasses.replace(planned, shared=tuple(shared), groups=groups)
        if lack := _lack(planned.labels, planned.pairs):
            once = "once shared people are left out, it " if planned.dropped_people else ""
            issues.append(one.issue(once + lack))
        sets.append(planned)
        images.append((artefact, np.flatnonzero(is_used)))
        notes += [Note("test_set", f"test set {one.name}: {text}") for text in group_texts(groups, planned.labels)]
        notes += [Note("test_set", f"test set {one.name}: {fault}") for fault in faults.values() if fault]
        notes += warnings
        notes += set_notes(planned, mode, of_templates=one.members.template is not None)
        # Where templates are judged, what is lost of images does not tell their rates.
        judges_templates = resolved.experiment.evaluation.templates is not None
        notes += lost_note(
            planned.lost, len(used), len(planned.identities), templates=judges_templates, name=planned.name
        )
        first += len(used)
    if issues:
        raise UnplannableError(issues)
    return DecodedSets(tuple(sets), tuple(images), tuple(notes))


def _planned(one: BuiltSet, used: IntArray, first: int, readable: IntArray, left_out: Sequence[int]) -> PlannedSet:
    """Return a set as it is measured.

    Args:
        one: Its data.
        used: Its images that are measured.
        first: The place of the first of them among the images of the plan.
        readable: All of its images that can be used.
        left_out: The people who are left out.
    """
    people, counted = np.unique(one.data.labels[used], return_inverse=True)
    pairs = folds = None
    if one.pairs is not None:
        (given,) = one.members.usable([one.pairs], used)
        is_left = np.isin(given, used).all(axis=1)
        pairs = np.searchsorted(used, given[is_left])
        folds = None if one.folds is None else one.folds[is_left]
    wanted = one.measured[~np.isin(one.data.labels[one.measured], left_out)]
    if one.pairs is None:
        nobody: IntArray = np.empty(0, np.int64)
        lost = lost_images(one.data.labels, wanted, readable, used, parts_of_lists=(nobody, nobody, wanted))
    else:
        of_them = given[np.isin(given, wanted).all(axis=1)]
        lost = lost_images(one.data.labels, wanted, readable, used, [of_them], members=one.members)
    listed = [None if each is None else content_of(each) for each in (pairs, folds)]
    return PlannedSet(
        name=one.name,
        source=one.data.source,
        key=digest([one.data.fingerprint, used.tolist(), *listed]),
        rows=first + np.arange(len(used)),
        labels=counted.astype(np.int32),
        identities=tuple(one.data.identities[person] for person in people),
        pairs=pairs,
        folds=folds,
        people_known=one.data.people_known,
        columns={name: values[used] for name, values in one.data.columns.items()},
        wanted_pairs=0 if one.pairs is None else len(one.pairs),
        wanted_images=len(one.measured),
        lost=lost,
    )


def _shared_images(
    one: BuiltSet, training: FaceData, artefact: Artefact, decoded: Artefact, store: Store
) -> tuple[list[Shared], set[int]]:
    """Return the images that a set shares with the data set that is trained on, and the people whom they show."""
    of_training, of_set = (_Decoded.of(each, store) for each in (decoded, artefact))
    equal = overlap.equal_images(of_training.digests, of_set.digests)
    told = {row for _, row in equal}
    near = overlap.nearly_equal(of_training.images, of_set.images, of_training.hashes, of_set.hashes)
    shared: list[Shared] = []
    people: set[int] = set()
    measured = set(one.measured.tolist())
    pairs = [("equal", pair) for pair in equal] + [("nearly equal", pair) for pair in near if pair[1] not in told]
    for kind, (row, other) in pairs:
        image = int(of_set.kept[other])
        if image not in measured:
            continue
        names = image_name(one.data, image), image_name(training, int(of_training.kept[row]))
        shared.append(Shared("equal" if kind == "equal" else "nearly equal", *names))
        people.add(int(one.data.labels[image]))
    return shared, people


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """Images in the store, and what is known of each."""

    images: ByteArray
    kept: IntArray
    digests: ByteArray
    hashes: overlap.Hashes

    @classmethod
    def of(cls, artefact: Artefact, store: Store) -> _Decoded:
        pixels: ByteArray = np.load(artefact.path / "images.npy", mmap_mode="r", allow_pickle=False)

        def make(folder: Path) -> None:
            np.save(folder / "hashes.npy", overlap.perceptual_hashes(pixels), allow_pickle=False)

        inputs = {"images": artefact.key, "code": source_digest("data.overlap")}
        hashes = store.get("hashes", inputs, make).path / "hashes.npy"
        kept, digests = (np.load(artefact.path / f"{name}.npy", allow_pickle=False) for name in ("kept", "digests"))
        return cls(pixels, kept, digests, np.load(hashes, allow_pickle=False))


def _of_people(one: BuiltSet, training: FaceData) -> list[Shared]:
    return [
        Shared("named alike", one.data.identities[other], training.identities[person]) for person, other in one.alike
    ]


def _lack(labels: IntArray, pairs: IntArray | None) -> str:
    """Return what a set is too small for; nothing where it is large enough."""
    if pairs is not None:
        similar = labels[pairs[:, 0]] == labels[pairs[:, 1]]
        if len(similar) and similar.any() and not similar.all():
            return ""
        return f"has {len(similar)} pairs to judge, {similar.sum()} of them similar; one of each kind is the least"
    counts = np.bincount(labels) if len(labels) else np.zeros(1, np.int64)
    people = int(np.count_nonzero(counts))
    if people < 2:
        return f"shows {people or 'no'} {'person' if people else 'people'}; two are the fewest that can be told apart"
    return "" if counts.max() > 1 else "has one image of each person, so there is no similar pair to judge"
