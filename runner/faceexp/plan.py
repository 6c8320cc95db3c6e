"""Everything a run will do, decided and checked before anything trains."""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import PIL
from PIL import Image

from faceexp import detection, images
from faceexp.contract import DatasetPlugin, FaceData, IntArray, SamplerPlugin
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.experiment import Experiment, Pretrain, Protocol
from faceexp.pairs_file import PairsFile
from faceexp.protocol import UnservableError, smallest, splits
from faceexp.resolve import BASELINE_LABELS, Issue, UnplannableError
from faceexp.store import Artefact, Store, digest, source_digest
from faceexp.values import ByteArray, Event, Listener, Plan, Resolved, Split, Trial

# What of faceexp decides the pixels that an image becomes.
SOURCES = ("images", "detection")
MAX_LISTED = 20
BLOCK = 64  # images that a thread decodes before it looks for more


def prepare(resolved: Resolved, store: Store, listen: Listener) -> Plan:
    """Return the plan of a run: data loaded, images decoded, parts cut, every batch known to be possible.

    Raises:
        UnplannableError: The data cannot serve the protocol or a sampler.
        InputError: The data set or one of its images is unusable.
    """
    experiment = resolved.experiment
    data = cast("DatasetPlugin", resolved.dataset.plugin).build(seed=0)
    # Before decoding, which is slow; and again after it, since images that are skipped count no more.
    listed = _listed_images(data, resolved.pairs) if resolved.pairs else []
    named = data.labels[np.unique(np.concatenate(listed))] if listed else np.empty(0, np.int64)
    chosen = _choose_people(data, np.arange(len(data.labels)), experiment.protocol, named)
    artefact = _decoded(data, experiment, store, listen)
    kept = np.load(artefact.path / "kept.npy", allow_pickle=False)
    keep = np.isin(kept, chosen)
    keep &= np.isin(kept, _choose_people(data, kept[keep], experiment.protocol, named))
    images_key = digest([artefact.key, kept[keep].tolist()])
    if not keep.all():
        artefact, kept = _chosen(artefact, np.flatnonzero(keep), store), kept[keep]
    pixels: ByteArray = np.load(artefact.path / "images.npy", mmap_mode="r", allow_pickle=False)
    # Labels count from 0 without gaps among the people who are left.
    people, counted = np.unique(data.labels[kept], return_inverse=True)
    labels = counted.astype(np.int32)
    # A pair whose image could not be read is a pair less.
    judged = tuple(np.searchsorted(kept, pairs[np.isin(pairs, kept).all(axis=1)]) for pairs in listed)
    parts = _all_splits(labels, experiment, judged)
    _check_batches(resolved, labels, parts)
    return Plan(
        resolved=resolved,
        data=data,
        images=pixels,
        images_key=images_key,
        labels=labels,
        identities=tuple(data.identities[person] for person in people),
        splits=parts,
        trials=tuple(_trials(resolved)),
        notes=tuple(_notes(data, experiment, kept, labels, parts, sum(map(len, listed)))),
    )


def _listed_images(data: FaceData, pairs: PairsFile) -> list[IntArray]:
    """Return for each fold the images of its pairs, int (P, 2).

    Raises:
        InputError: With the line of every pair of which the data lack an identity or an image.
    """
    places = {}
    ends = np.cumsum(np.bincount(data.labels, minlength=len(data.identities)))
    everyone = np.split(np.argsort(data.labels, kind="stable"), ends[:-1])
    for name, rows in zip(data.identities, everyone, strict=True):
        own = rows.tolist()
        for number, index in zip(_numbers(data, own), own, strict=True):
            places[name, number] = index
    known = set(data.identities)
    folds: list[IntArray] = []
    problems: list[Problem] = []
    for fold in pairs.folds:
        images = []
        for pair in fold:
            lost = [image for image in (pair.first, pair.second) if image not in places]
            for name, number in lost[:1]:
                message = (
                    f"the data set has no image {number} of {name!r}"
                    if name in known
                    else f"the data set has nobody called {name!r}; {did_you_mean(name, known, always_list=False)}"
                )
                problems.append(pairs.problem(pair, message.removesuffix("; ")))
            if not lost:
                images.append((places[pair.first], places[pair.second]))
        folds.append(np.array(images, dtype=np.int64).reshape(-1, 2))
    if problems:
        more = [Problem(f"and {len(problems) - MAX_LISTED} more pairs", pairs.name)]
        raise InputError(problems[:MAX_LISTED] + (more if len(problems) > MAX_LISTED else []))
    return folds


def _numbers(data: FaceData, own: list[int]) -> list[int]:
    """Return the numbers of a person's images: those at the end of the files' names if all have one, else 1, 2, ..."""
    names = [source.stem for source in (data.images[index] for index in own) if isinstance(source, Path)]
    found = [int(match[1]) for match in (re.search(r"(\d{1,9})$", name) for name in names) if match]
    return found if len(set(found)) == len(own) else list(range(1, len(own) + 1))


def _choose_people(data: FaceData, usable: IntArray, protocol: Protocol, named: IntArray) -> IntArray:
    """Return those of the usable images' indices that show people who have enough of them, or whom a list names."""
    counts = np.bincount(data.labels[usable], minlength=len(data.identities))
    enough = counts >= (protocol.min_images or 1)
    enough[named] = True
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


def _decoded(data: FaceData, experiment: Experiment, store: Store, listen: Listener) -> Artefact:
    """Return the artefact with the images as one array; decoding happens once for each data set and preprocessing."""
    inputs = {
        "fingerprint": data.fingerprint,
        "preprocess": experiment.preprocess.model_dump(mode="json"),
        "code": source_digest(*SOURCES),
        "pillow": PIL.__version__,
        "opencv": detection.version() if experiment.preprocess.detect else None,
    }

    def make(folder: Path) -> None:
        _decode_all(data, experiment, folder, listen)

    return store.get("images", inputs, make)


def _decode_all(data: FaceData, experiment: Experiment, folder: Path, listen: Listener) -> None:
    preprocess = experiment.preprocess
    count = len(data.images)
    file = folder / "images.npy"
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, *images.shape(preprocess)))

    def decode(index: int) -> Problem | None:
        source = data.images[index]
        try:
            if isinstance(source, Path):
                array[index] = images.decode(source, preprocess).pixels
            else:
                array[index] = images.prepare(Image.fromarray(source), preprocess).pixels
        except images.UnreadableImageError as error:
            return images.unreadable(source if isinstance(source, Path) else f"image {index}", error)
        return None

    def decode_block(start: int) -> list[tuple[int, Problem]]:
        found = ((index, decode(index)) for index in range(start, min(start + BLOCK, count)))
        return [(index, problem) for index, problem in found if problem]

    problems: dict[int, Problem] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Odd metadata, large pictures: what matters of that is an error. Set here, since threads share the filters.
        warnings.filterwarnings("ignore", module="PIL")
        starts = range(0, count, BLOCK)
        for start, unusable in zip(starts, pool.map(decode_block, starts), strict=True):
            listen(Event("images", start, count))
            problems.update(unusable)
    listen(Event("images", count, count))
    if problems and preprocess.on_unreadable == "error":
        raise InputError(problems.values())
    kept = np.array([index for index in range(count) if index not in problems], dtype=np.int64)
    array.flush()
    if problems:
        everything = file.rename(folder / "everything.npy")
        _copy_rows(everything, kept, file)
        everything.unlink()
    np.save(folder / "kept.npy", kept, allow_pickle=False)
    skipped = [str(problem) for problem in problems.values()]
    (folder / "skipped.json").write_text(json.dumps(skipped, indent=1), encoding="utf-8")


def _chosen(artefact: Artefact, rows: IntArray, store: Store) -> Artefact:
    """Return the artefact with some of the images; a file like the other, since they may not fit into memory."""
    inputs = {"images": artefact.key, "rows": rows.tolist()}
    return store.get(
        "images", inputs, lambda folder: _copy_rows(artefact.path / "images.npy", rows, folder / "images.npy")
    )


def _copy_rows(source: Path, rows: IntArray, target: Path) -> None:
    images = np.load(source, mmap_mode="r", allow_pickle=False)
    shape = (len(rows), *images.shape[1:])
    copied = np.lib.format.open_memmap(target, mode="w+", dtype=images.dtype, shape=shape)
    for start in range(0, len(rows), BLOCK):
        copied[start : start + BLOCK] = images[rows[start : start + BLOCK]]
    copied.flush()


def _all_splits(labels: IntArray, experiment: Experiment, listed: tuple[IntArray, ...]) -> tuple[Split, ...]:
    try:
        cut = (splits(labels, experiment.protocol, seed, listed) for seed in experiment.seeds)
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
        if pretrain.enabled and pretrain.batch_size > smallest_part:
            message = f"{pretrain.batch_size} is more than the {smallest_part} images of the smallest training part"
            issues.append(Issue((*path, "batch_size"), f"{message}; use {smallest_part} at most"))
    counts = [np.bincount(labels[part.train]) for part in parts]
    for loss in resolved.losses:
        supply = cast("SamplerPlugin", loss.sampler.plugin).supply()
        own = loss.entry.finetune != experiment.finetune
        place: tuple[str | int, ...] = (
            ("losses", loss.entry.index, "finetune", "sampler") if own else ("finetune", "sampler")
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
    if issues:
        raise UnplannableError(list(dict.fromkeys(issues)))


def _trials(resolved: Resolved) -> Iterator[Trial]:
    experiment = resolved.experiment
    labels = [BASELINE_LABELS[name] for name in experiment.baselines] + [loss.entry.label for loss in resolved.losses]
    names = _file_names(labels)
    for seed in experiment.seeds:
        for fold in range(resolved.folds):
            for baseline in experiment.baselines:
                if baseline == "phase1" and not experiment.pretrain.enabled:
                    continue
                label = BASELINE_LABELS[baseline]
                yield Trial(f"{names[label]}-s{seed}-f{fold}", label, "baseline", seed, fold)
            for loss in resolved.losses:
                label = loss.entry.label
                yield Trial(f"{names[label]}-s{seed}-f{fold}", label, "loss", seed, fold, loss)


def _file_names(labels: list[str]) -> dict[str, str]:
    """Return a distinct file name for each label: what is no letter or digit becomes a dash."""
    plain = {label: re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.") or "loss" for label in labels}
    often = Counter(name.lower() for name in plain.values())
    return {label: name if often[name.lower()] == 1 else f"{name}-{digest(label)[:6]}" for label, name in plain.items()}


def _notes(
    data: FaceData, experiment: Experiment, kept: IntArray, labels: IntArray, parts: tuple[Split, ...], listed: int
) -> Iterator[str]:
    people = len(np.unique(labels))
    yield f"{people} people, {len(kept)} images; {data.source}"
    if len(kept) < len(data.images):
        left = len(data.images) - len(kept)
        yield f"{left} of {len(data.images)} images left out (unreadable, or of people with too few images)"
    if experiment.protocol.kind == "closed_set":
        yield "closed set: the same people are in training and in test, so results say nothing about new people"
    if experiment.protocol.kind == "pairs_file":
        first = [part for part in parts if part.seed == parts[0].seed]
        judged = sum(len(part.test_pairs) for part in first if part.test_pairs is not None)
        fewest = min(len(np.unique(labels[part.train])) for part in first)
        lost = f"; {listed - judged} pairs are lost with images that cannot be read" if judged < listed else ""
        yield (
            f"{judged} listed pairs in {len(first)} folds, the threshold of each from pairs of the others; "
            f"{fewest} people or more are trained on, none of whom is in the pairs that are judged or tuned on{lost}"
        )
