"""``verify``, ``identify`` and ``embed``: a trained model is used."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceexp.cli.console import (
    JsonFlag,
    counting,
    error_console,
    is_screen,
    quiet,
    say,
    show,
    user_path,
    user_text,
    writing,
)
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from faceexp.evaluation.listed import Estimate
    from faceexp.serving.answers import JudgedPairs
    from faceexp.serving.model import FaceModel
    from faceexp.serving.pair_lists import PairList

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        parser=user_text,
        help="A run (of which the best loss on validation pairs is taken), RUN:label, or an exported folder.",
        show_default=False,
    ),
]

Far = Annotated[
    float | None,
    typer.Option(
        "--far", metavar="RATE", help="Use the threshold for this false accept rate (FAR, also called FMR), e.g. 0.001."
    ),
]

TrustSavedModel = Annotated[
    bool,
    typer.Option("--trust-saved-model", help="Open a SavedModel: it is a program, which can do whatever you can do."),
]


def verify(
    model: Model,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="A B", parser=user_path, help="Two photos.", show_default=False),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="CSV",
            parser=user_path,
            help="Judge the pairs of a file with the columns a,b or a,b,same, and perhaps identity_a,identity_b.",
        ),
    ] = None,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            "--calibrate-on",
            metavar="CSV",
            parser=user_path,
            help="Set the threshold on the labelled pairs of such a file, and keep it beside the model.",
        ),
    ] = None,
    far: Far = None,
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether two photos show the same person, with a probability and the false accept rate of the threshold.

    With --pairs, one line per pair goes to standard output as CSV: `same` is what the list says, `accepted` what the
    model says. A summary goes to standard error.
    """
    given = photos or []
    if sum([bool(given), pairs is not None, calibrate_on is not None]) != 1 or (given and len(given) != 2):
        raise InputError("name two photos, or a list of pairs with --pairs or --calibrate-on")
    if calibrate_on is not None and far is not None:
        raise InputError(
            "--calibrate-on sets the thresholds of all rates; leave --far out, and give it when you verify"
        )
    if pairs is not None:
        _judge_pairs(model, pairs, far, trust_saved_model=trust_saved_model, as_json=as_json)
    elif calibrate_on is not None:
        _calibrate(model, calibrate_on, trust_saved_model=trust_saved_model, as_json=as_json)
    else:
        _judge_two(model, given[0], given[1], far, trust_saved_model=trust_saved_model, as_json=as_json)


def _judge_two(
    model: str, first: Path, second: Path, far: float | None, *, trust_saved_model: bool, as_json: bool
) -> None:
    from faceexp.report.terminal.decisions import verification
    from faceexp.serving.answers import as_json as answer_as_json
    from faceexp.serving.model import load_model

    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        # The network is loaded when it is first used, which takes seconds; on a terminal a word says so meanwhile.
        with stderr.status("loading the model") if is_screen(stderr) else contextlib.nullcontext():
            answer = opened.verify(first, second, far)
        _warn_of_several_faces(stderr, dict(zip((str(first), str(second)), answer.faces, strict=True)), opened)
    show(verification(answer, opened), answer_as_json(answer) | {"model": _about(opened)}, as_json=as_json)


def _judge_list(model: "FaceModel", listed: "PairList", far: float | None, stderr: "Console") -> "JudgedPairs":
    with counting(stderr, "embedding photos", len(listed.photos)) as on_progress:
        judged = model.judge(listed.photos, listed.rows, far, on_progress)
    _warn_of_several_faces(stderr, judged.faces, model)
    return judged


def _judge_pairs(model: str, file: Path, far: float | None, *, trust_saved_model: bool, as_json: bool) -> None:
    import csv

    from faceexp.evaluation.listed import estimates
    from faceexp.report.terminal.decisions import pairs_summary
    from faceexp.results.spreadsheets import csv_cells
    from faceexp.serving.answers import tally
    from faceexp.serving.model import load_model
    from faceexp.serving.pair_lists import read_pairs

    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        listed = read_pairs(file)
        judged = _judge_list(opened, listed, far, stderr)
        summary = tally(listed.truths, judged.same.tolist())
        rates = estimates(*listed.labelled(judged.distance), judged.threshold) if summary.known else {}
    columns = ("a", "b", "same", "accepted", "distance", "probability", "seen")
    # Where it would rest on too few people, there is no probability.
    probability = [None if math.isnan(value) else value for value in judged.probability.tolist()]
    numbers = (judged.distance.tolist(), probability, judged.seen_of_pair)
    if as_json:
        rows = zip(listed.pairs, judged.same.tolist(), *numbers, strict=True)
        lines = [dict(zip(columns, (*pair, *values), strict=True)) for pair, *values in rows]
        of_list = {**dataclasses.asdict(summary), **_about_labelled(rates, listed), **_about_photos(judged)}
        show("", {"model": _about(opened), "summary": of_list, "pairs": lines}, as_json=True)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    # A long list names the same photos again and again; numbers need nothing done to them.
    cells = csv_cells(listed.photos)
    first, second = ([cells[place] for place in places] for places in listed.rows.T.tolist())
    same = [None if truth is None else int(truth) for truth in listed.truths]
    writer.writerows(zip(first, second, same, judged.same.astype(int).tolist(), *numbers, strict=True))
    error_console().print(pairs_summary(summary, judged, opened, rates, listed))


def _calibrate(model: str, file: Path, *, trust_saved_model: bool, as_json: bool) -> None:
    from faceexp.evaluation.listed import estimates
    from faceexp.report.terminal.decisions import threshold_set
    from faceexp.results.folder import ModelFolder
    from faceexp.serving.model import load_model
    from faceexp.serving.own_threshold import check_kinds, check_vacant, set_own_threshold
    from faceexp.serving.pair_lists import read_pairs

    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        folder = ModelFolder(opened.folder)
        check_vacant(folder)
        listed = read_pairs(file)
        check_kinds(listed)
        judged = _judge_list(opened, listed, None, stderr)
        own = set_own_threshold(folder, opened.record, listed, judged)
        calibrated = dataclasses.replace(opened, own=own)
        threshold = calibrated.threshold().distance
        rates = estimates(*listed.labelled(judged.distance), threshold)
    kept = str(folder.own_threshold)
    data = {"model": _about(calibrated), "output": kept, "threshold": threshold}
    data |= {**_about_labelled(rates, listed), **_about_photos(judged)}
    show(threshold_set(calibrated, judged, rates, listed, kept), data, as_json=as_json)


def _about_labelled(rates: "Mapping[str, Estimate]", listed: "PairList") -> dict[str, object]:
    """Return what the JSON document says of labelled pairs: the rates, and whom the pairs show, if that is known."""
    people = len(set(listed.person.values())) or None
    return {"rates": dict(rates), "people": people, "people_from": listed.people_from}


def _about_photos(judged: "JudgedPairs") -> dict[str, object]:
    """Return how many photos a list names, and how many of them the model saw in its training, if that is known."""
    return {"photos": len(judged.faces), "seen": judged.seen}


def identify(
    model: Model,
    gallery: Annotated[
        Path,
        typer.Argument(
            metavar="GALLERY",
            parser=user_path,
            help="A folder with one subfolder per person, or one photo per person, named after them.",
            show_default=False,
        ),
    ],
    photo: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTO", parser=user_path, help="The photo of the person to look for.", show_default=False
        ),
    ],
    far: Far = None,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", min=1, help="List so many people, the nearest first; otherwise ten."),
    ] = None,
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Rank the people of a gallery by their distance from a photo, and say whether it shows one of them or nobody."""
    from faceexp.report.terminal.decisions import SHOWN, identification
    from faceexp.serving.answers import as_json as answer_as_json
    from faceexp.serving.model import load_model
    from faceexp.serving.photos import gallery_of

    people = gallery_of(gallery)
    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        with counting(stderr, "embedding photos", 1 + sum(map(len, people.values()))) as on_progress:
            answer = opened.identify(people, photo, far, on_progress)
    for problem in answer.left_out:
        print(f"left out: {problem}", file=sys.stderr)
    text = identification(answer, opened, top or SHOWN)
    show(text, answer_as_json(answer, top) | {"model": _about(opened)}, as_json=as_json)
    if answer.left_out:
        raise typer.Exit(1)


def embed(
    model: Model,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", parser=user_path, help="A folder of photos.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", parser=user_path, help="Where to write: .parquet, .csv or .npz."
        ),
    ] = Path("embeddings.parquet"),
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the embedding of every photo in a folder; a photo that cannot be used is left out and named."""
    from faceexp.report.terminal.decisions import embeddings_written
    from faceexp.serving.model import load_model
    from faceexp.serving.photos import photos_in, writer_of

    files = photos_in(folder)
    write = writer_of(output)
    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        with counting(stderr, "embedding photos", len(files)) as on_progress:
            embedded = opened.embed_usable(files, on_progress)
    problems, embeddings = embedded.problems, embedded.embeddings
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not embedded.places:
        raise InputError(Problem("none of its photos can be used", str(folder)))
    with writing("--output", output):
        write([str(files[place].relative_to(folder)) for place in embedded.places], embeddings)
    count, width = embeddings.shape
    done = {"model": _about(opened), "output": str(output), "photos": count, "width": width}
    text = embeddings_written(opened, embeddings.shape, str(output))
    show(text, done | {"left_out": [str(problem) for problem in problems]}, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _about(model: "FaceModel") -> dict[str, object]:
    """Return what the JSON document says about the model, beside its answers."""
    return {
        "label": model.label,
        "folder": str(model.folder),
        "distance": model.distance,
        "is_guessing": model.is_guessing,
        "chosen": model.chosen or None,
        "tested": model.worth,
        "why_no_probability": model.why_no_probability or None,
        "own_threshold": model.own.pairs if model.own else None,
    }


def _warn_of_several_faces(stderr: "Console", faces: Mapping[str, int], model: "FaceModel") -> None:
    """Name the photos that show several faces, of which one is used."""
    for photo, count in faces.items():
        if count > 1 and (detect := model.preprocess.detect):
            say(f"{photo} shows {count} faces; {detect.taken} is compared", "yellow", stderr)
