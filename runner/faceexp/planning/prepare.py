"""Everything a run will do, decided and checked before anything trains."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import get_args

import numpy as np

from faceexp.arrays import ByteArray, IntArray
from faceexp.contract import Distance, FaceData
from faceexp.data.decode import alike, selected_images
from faceexp.data.face_data import MAX_NAMED, image_name, names_alike, some
from faceexp.data.seen_photos import file_digests
from faceexp.data.splits import Parts, Split, UnservableError, smallest, splits
from faceexp.errors import MAX_LISTED
from faceexp.experiment.baselines import PCA
from faceexp.experiment.detect import Detect
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Experiment, Pretrain
from faceexp.planning.adapt import Training, adapted, with_batches, with_fractions
from faceexp.planning.build import build_data
from faceexp.planning.decoding import decoded_of
from faceexp.planning.groups import check_groups, fault_of, group_notes, groups_of
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.planning.listed_pairs import pairs_notes, pairs_to_judge
from faceexp.planning.listed_parts import listed_parts
from faceexp.planning.listed_templates import with_template_list, without_repetition
from faceexp.planning.lost import lost_images, lost_note
from faceexp.planning.measured_sets import build_sets, decode_sets
from faceexp.planning.prospects import prospects
from faceexp.planning.sampled import sample_issues
from faceexp.planning.templates import Members, check_pairs, check_templates, template_notes, templates_of
from faceexp.planning.trials import trials_of
from faceexp.planning.trunk import precision_notes
from faceexp.store import Store, digest
from faceexp.values import EventCallback, Note, Noted, Plan, Resolved

# Notes on what somebody may want to mend. They are told before anything trains; the others stand in the results.
MENDABLE = ("left_out", "names", "duplicates", "several_faces", "crops", "overlap")


def prepare(resolved: Resolved, store: Store, on_event: EventCallback) -> Plan:
    """Return the plan of a run: data loaded, images decoded, parts cut, every batch known to be possible.

    Raises:
        UnplannableError: The data cannot serve the protocol or a sampler.
        InputError: The data set or one of its images is unusable.
    """
    experiment = resolved.experiment
    column = experiment.evaluation.templates
    data = with_template_list(build_data(resolved.dataset), resolved.templates, resolved.pairs, column)
    pairs_of_folds = pairs_to_judge(data, experiment.protocol, resolved.pairs, column)
    members = Members.of(data, resolved.pairs, column)
    named = data.labels[np.unique(np.concatenate(pairs_of_folds))] if pairs_of_folds else np.empty(0, np.int64)
    parts_of_lists = listed_parts(data, resolved.lists) if resolved.lists else None
    in_question = np.sort(np.concatenate(parts_of_lists)) if parts_of_lists else np.arange(len(data.labels))
    built = build_sets(resolved.sets, data, build_data, column)
    check_groups(data, experiment.evaluation.groups, [each.data for each in built])
    check_templates(data, [(one.name, one.data) for one in built], column)
    # People are checked before decoding, which is slow; and again after it, since unreadable images do not count.
    of_people = _choose_people(data, in_question, experiment.protocol, named)
    artefact, warnings = decoded_of(data, experiment.preprocess, resolved.detector, store, on_event)
    readable = np.load(artefact.path / "kept.npy", allow_pickle=False)
    digests: ByteArray = np.load(artefact.path / "digests.npy", allow_pickle=False)
    faces: IntArray = np.load(artefact.path / "faces.npy", allow_pickle=False)
    is_used = np.isin(readable, of_people)
    is_used &= np.isin(readable, _choose_people(data, readable[is_used], experiment.protocol, named))
    used = readable[is_used]
    images_key = digest([artefact.key, used.tolist()])
    sets = decode_sets(built, data, artefact, resolved, len(used), store, on_event)
    if sets.images or not is_used.all():
        artefact = selected_images([(artefact, np.flatnonzero(is_used)), *sets.images], store)
    pixels: ByteArray = np.load(artefact.path / "images.npy", mmap_mode="r", allow_pickle=False)
    # Labels count from 0 without gaps among the people who are left.
    people, counted = np.unique(data.labels[used], return_inverse=True)
    labels = counted.astype(np.int32)
    # A pair one of whose images cannot be read is left out; of a template, another image stands for it.
    pairs_of_folds = members.usable(pairs_of_folds, used)
    judged = tuple(np.searchsorted(used, pairs[np.isin(pairs, used).all(axis=1)]) for pairs in pairs_of_folds)
    given = _places(parts_of_lists, used) if parts_of_lists else None
    fitting = with_fractions(experiment.protocol, labels)
    experiment = experiment.model_copy(update={"protocol": fitting})
    trains = bool(resolved.losses or resolved.model)
    parts = _all_splits(labels, experiment, judged, given, trains=trains, template=members.among(used))
    if not all(len(part.train) for part in parts):
        # There is nobody to find principal components of.
        without = tuple(key for key in experiment.baselines if key != PCA.key)
        experiment = experiment.model_copy(update={"baselines": without})
    fitted = with_batches(dataclasses.replace(resolved, experiment=experiment), Training.of(labels, parts))
    _check_batches(fitted, labels, parts)
    changes = adapted(resolved.experiment, fitted.experiment)
    # With more people, the shares would be those of the file again; so these say how many people are enough.
    outlook = (*changes, *prospects(labels, resolved.experiment.protocol, parts, trains=bool(resolved.losses)))
    columns = {name: values[used] for name, values in data.columns.items()}
    asked = [text for text in experiment.evaluation.groups if not fault_of(data.columns, text)]
    groups = groups_of(columns, labels, asked)
    templates = templates_of(columns, len(used), sets.sets, column)
    check_pairs(templates, labels, parts, sets.sets)
    lost = lost_images(data.labels, of_people, readable, used, pairs_of_folds, parts_of_lists, members)
    about = (
        *_existing(fitted),
        *precision_notes(experiment),
        *_notes(data, experiment, readable, used, labels, parts),
        *pairs_notes(labels, parts, pairs_of_folds, members),
        *_duplicates(data, used, alike(digests[is_used])),
        *warnings,
        *_of_several_faces(data, used[faces[is_used] > 1], len(used), experiment.preprocess.detect),
        *group_notes(groups, labels),
        *template_notes(templates, parts, sets.sets),
        *lost_note(
            lost,
            len(used),
            len(people),
            closed=experiment.protocol.kind == "closed_set",
            templates=templates is not None,
        ),
        *sets.notes,
    )
    of_files = file_digests(data, store)
    for note in (*(each for each in about if each.kind in MENDABLE), *outlook):
        on_event(Noted("note", 1, 1, note=note))
    return Plan(
        resolved=fitted,
        data=data,
        images=pixels,
        images_key=images_key,
        labels=labels,
        identities=tuple(data.identities[person] for person in people),
        splits=parts,
        trials=tuple(trials_of(fitted, len(parts) // len(experiment.seeds))),
        notes=(*about, *outlook),
        file_digests=None if of_files is None else of_files[used],
        columns=columns,
        groups=groups,
        templates=templates,
        lost=lost,
        sets=sets.sets,
        sets_key=sets.key,
    )


def _choose_people(data: FaceData, usable: IntArray, protocol: Protocol, named: IntArray) -> IntArray:
    """Return those of the usable images' indices that show people who have enough of them, or whom a list names."""
    counts = np.bincount(data.labels[usable], minlength=len(data.identities))
    enough = counts >= (protocol.min_images or 1)
    # Of a person in a list nothing may be left; then the pairs are lost, which counts.
    enough[named] = counts[named] > 0
    # Asking for min_images = 1 is asking to keep people with one image, where the protocol can use them.
    floor = 1 if protocol.kind == "open_set" and protocol.min_images else smallest(protocol)
    short = np.flatnonzero(enough & (counts < floor))
    if len(short):
        issues = [
            Issue(
                ("protocol",),
                f"{data.identities[person]!r} has {counts[person]} image{'s' if counts[person] != 1 else ''}, "
                f"{protocol.kind} needs {floor} of each person; add images or set min_images = {floor} "
                "to leave such people out",
            )
            for person in short[:MAX_LISTED]
        ]
        if len(short) > MAX_LISTED:
            issues.append(Issue(("protocol",), f"and {len(short) - MAX_LISTED} more people with too few images"))
        raise UnplannableError(issues)
    return usable[enough[data.labels[usable]]]


def _places(parts: Parts, used: IntArray) -> Parts:
    """Return the places of each part's images among those that are used."""
    train, validation, test = (np.searchsorted(used, part[np.isin(part, used)]) for part in parts)
    return train, validation, test


def _all_splits(
    labels: IntArray,
    experiment: Experiment,
    pairs_of_folds: tuple[IntArray, ...],
    given: Parts | None,
    *,
    trains: bool,
    template: IntArray | None,
) -> tuple[Split, ...]:
    try:
        seeds, protocol = experiment.seeds, experiment.protocol
        cut = (
            splits(labels, protocol, seed, pairs_of_folds, given, trains=trains, template=template) for seed in seeds
        )
        return tuple(itertools.chain.from_iterable(cut))
    except UnservableError as error:
        raise UnplannableError([Issue(("protocol",), str(error))]) from error


def _check_batches(resolved: Resolved, labels: IntArray, parts: tuple[Split, ...]) -> None:
    """Refuse batches that a training part cannot fill; the smallest part decides."""
    issues: list[Issue] = []
    experiment = resolved.experiment
    smallest_part = min(len(part.train) for part in parts)
    pretrains: dict[tuple[str | int, ...], Pretrain] = {("pretrain",): experiment.pretrain} | {
        ("losses", loss.entry.index, "pretrain"): loss.entry.pretrain
        for loss in resolved.losses
        if loss.entry.pretrain != experiment.pretrain
    }
    for path, pretrain in pretrains.items():
        if not pretrain.enabled:
            continue
        if pretrain.batch_size > smallest_part:
            message = f"{pretrain.batch_size} is more than the {smallest_part} images of the smallest training part"
            issues.append(Issue((*path, "batch_size"), f"{message}; use {smallest_part} at most"))
        counted = pretrain.schedule.counted if pretrain.schedule and smallest_part else []
        steps = pretrain.steps_until(pretrain.epochs, smallest_part) if counted else 0
        if beyond := [step for step in counted if step >= steps]:
            issues.append(Issue((*path, "schedule"), f"names step {beyond[0]:g}, and there are {steps} steps"))
    counts = [np.bincount(labels[part.train]) for part in parts]
    for loss in resolved.losses:
        supply = loss.sampler.supply()
        overrides = loss.entry.finetune != experiment.finetune
        place: tuple[str | int, ...] = (
            ("losses", loss.entry.index, "finetune", "sampler") if overrides else ("finetune", "sampler")
        )
        able = min(int((count >= supply.images_per_class).sum()) for count in counts)
        if able < supply.classes:
            message = (
                f"sampler {loss.entry.finetune.sampler.plugin!r} wants {supply.classes} people with "
                f"{supply.images_per_class} images or more in each batch, the smallest training part has {able}; "
                "ask for fewer, or for fewer images of each"
            )
            issues.append(Issue(place, message))
        elif supply.size > smallest_part:
            message = f"a batch of {supply.size} is more than the {smallest_part} images of the smallest training part"
            issues.append(Issue(place, f"{message}; use {smallest_part} at most"))
    issues += sample_issues(resolved, labels, parts)
    if issues:
        raise UnplannableError(list(dict.fromkeys(issues)))


def _notes(
    data: FaceData,
    experiment: Experiment,
    readable: IntArray,
    used: IntArray,
    labels: IntArray,
    parts: tuple[Split, ...],
) -> Iterator[Note]:
    known = f"{len(np.unique(labels))} people, {len(used)} images" if data.people_known else f"{len(used)} images"
    yield Note("data", f"{known}; {data.source}")
    if len(used) < len(data.images):
        left = len(data.images) - len(used)
        in_no_list = "in no list, " if experiment.protocol.kind == "listed" else ""
        reasons = f"{in_no_list}unusable, or of people with too few images"
        text = f"{left} of {len(data.images)} images left out ({reasons})"
        unreadable = [image_name(data, index) for index in np.setdiff1d(np.arange(len(data.images)), readable)]
        yield Note("left_out", f"{text}; unusable: {some(unreadable)}" if unreadable else text)
    for text in data.notes:
        yield Note("data_set", text)
    used_names = [data.identities[person] for person in np.unique(data.labels[used])]
    same_names = [" and ".join(map(repr, names)) for names in names_alike(used_names)]
    if same_names:
        text = "names that differ only in capitals, dots, spaces or the form of Unicode count as different people"
        yield Note("names", f"{text}: {some(same_names)}")
    if experiment.protocol.kind == "closed_set":
        text = "closed set: the same people are in training and in test, so results say nothing about new people"
        yield Note("closed_set", text)
    if experiment.protocol.kind == "listed":
        yield Note("listed", _of_lists(labels, parts[0]))
    if experiment.protocol.kind != "pairs_file" and experiment.protocol.seeds_share_test and len(experiment.seeds) > 1:
        yield Note("split_seed", _of_shared_tests(experiment.protocol))


def _existing(resolved: Resolved) -> Iterator[Note]:
    """Yield that an embedding that exists already may have been trained on the very people who are tested."""
    labels = [row.entry.label for row in resolved.pretrained]
    labels += [resolved.trained] if resolved.trained and resolved.trained not in labels else []
    if labels:
        text = (
            f"what {some(labels)} was trained on is not known here: if people of this data set were among it, its "
            "numbers say less about new people than they seem to"
        )
        yield Note("existing", text)
    for distance in get_args(Distance):
        if compared := [row.entry.label for row in resolved.pretrained if row.entry.distance == distance]:
            verb, whose = ("is", "its table") if len(compared) == 1 else ("are", "their tables")
            change = f"`distance` in {whose} [[pretrained]] changes that"
            yield Note("existing", f"{some(compared)} {verb} compared by {distance} distance; {change}")


def _of_lists(labels: IntArray, part: Split) -> str:
    """Return whether lists of parts make an open set or a closed one, and whom the thresholds are chosen on."""
    train, validation, test = (np.unique(labels[indices]) for indices in (part.train, part.validation, part.test))
    if np.isin(test, np.union1d(train, validation)).any():
        return (
            f"the parts come from lists, which make a closed set: the {len(test)} people who are tested are in other "
            "parts as well, with other images, so results say nothing about new people"
        )
    known = np.isin(validation, train).sum()
    threshold = (
        f"; {known} of the {len(validation)} people of validation are trained on as well, so thresholds may not suit "
        "new people"
        if known
        else ""
    )
    return f"the parts come from lists: nobody who is tested is in another part{threshold}"


def _of_shared_tests(protocol: Protocol) -> str:
    """Return what the spread between seeds does not tell where all of them test the same people."""
    cause = "the parts are listed" if protocol.split_seed is None else f"split_seed = {protocol.split_seed}"
    text = f"every seed tests the same people ({cause}), so the spread between seeds is that of training alone"
    if protocol.folds > 1:
        return f"{text}, and that between folds is that of people as well"
    return f"{text}, and verdicts are about these people: one split cannot tell whether they hold for others"


def _duplicates(data: FaceData, used: IntArray, groups: list[IntArray]) -> Iterator[Note]:
    """Yield what is to be known of images that are there more than once, as groups of rows of ``used``."""
    across: list[str] = []
    within: list[str] = []
    for rows in groups:
        indices = without_repetition(data, used[rows])
        if len(indices) < 2:
            continue
        is_of_one = len(np.unique(data.labels[indices])) == 1
        names = [image_name(data, index) for index in indices[:MAX_NAMED]]
        more = [f"{len(indices) - MAX_NAMED} more"] if len(indices) > MAX_NAMED else []
        (within if is_of_one else across).append(" = ".join(names + more))
    if across:
        yield Note(
            "duplicates",
            f"{_times(across)} identical in images of different people, so that labels are wrong and test images may "
            f"be among those that are trained on: {some(across)}",
        )
    if within:
        yield Note("duplicates", f"{_times(within)} identical in several images of one person: {some(within)}")


def _of_several_faces(data: FaceData, several: IntArray, total: int, detect: Detect | None) -> Iterator[Note]:
    """Yield that of some images one of several faces is used, if there are any."""
    if detect and len(several):
        names = some([image_name(data, index) for index in several.tolist()])
        text = (
            f"{len(several)} of {total} photos show several faces, of which {detect.taken} is used, maybe a "
            f"bystander's; `faceexp crops SPEC` shows which was taken: {names}"
        )
        yield Note("several_faces", text)


def _times(names: list[str]) -> str:
    return "1 picture is" if len(names) == 1 else f"{len(names)} pictures are"
