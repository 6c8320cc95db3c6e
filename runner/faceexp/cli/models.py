"""``verify``, ``identify``, ``embed`` and ``export``: a trained model is used."""

import contextlib
import math
import sys
from collections.abc import Mapping
from enum import StrEnum
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
from faceexp.errors import InputError, Problem, printable

if TYPE_CHECKING:
    from rich.console import Console

    from faceexp.serving.answers import JudgedPairs, Verification
    from faceexp.serving.model import FaceModel
    from faceexp.serving.photos import ListedPair

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
            help="Judge the pairs of a file with the columns a,b or a,b,same.",
        ),
    ] = None,
    far: Far = None,
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether two photos show the same person, with a probability and the false accept rate of the threshold.

    With --pairs, one line per pair goes to standard output as CSV, and a summary goes to standard error.
    """
    given = photos or []
    if (pairs is None) == (not given) or (given and len(given) != 2):
        raise InputError("name two photos, or a list of pairs with --pairs")
    from faceexp.serving.model import load_model

    with quiet() as stderr:
        opened = load_model(model, trust_saved_model=trust_saved_model)
        if pairs is None:
            answer = _judge_two(opened, given[0], given[1], far, stderr)
        else:
            listed, judged = _judge_list(opened, pairs, far, stderr)
    if pairs is None:
        _show_two(answer, opened, as_json=as_json)
    else:
        _show_list(listed, judged, opened, as_json=as_json)


def _judge_two(model: "FaceModel", first: Path, second: Path, far: float | None, stderr: "Console") -> "Verification":
    # The network is loaded when it is first used, which takes seconds; on a terminal a word says so meanwhile.
    with stderr.status("loading the model") if is_screen(stderr) else contextlib.nullcontext():
        answer = model.verify(first, second, far)
    _warn_of_several_faces(stderr, dict(zip((str(first), str(second)), answer.faces, strict=True)))
    return answer


def _show_two(answer: "Verification", model: "FaceModel", *, as_json: bool) -> None:
    from faceexp.report.terminal.decisions import verification
    from faceexp.serving.answers import as_json as answer_as_json

    show(verification(answer, model), answer_as_json(answer) | {"model": _about(model)}, as_json=as_json)


def _judge_list(
    model: "FaceModel", file: Path, far: float | None, stderr: "Console"
) -> "tuple[list[ListedPair], JudgedPairs]":
    from faceexp.serving.photos import read_pairs

    listed = list(read_pairs(file))
    photos = {photo for first, second, _ in listed for photo in (first, second)}
    with counting(stderr, "embedding photos", len(photos)) as on_progress:
        judged = model.verify_pairs([(first, second) for first, second, _ in listed], far, on_progress)
    _warn_of_several_faces(stderr, judged.faces)
    return listed, judged


def _show_list(listed: "list[ListedPair]", judged: "JudgedPairs", model: "FaceModel", *, as_json: bool) -> None:
    import csv

    from faceexp.report.terminal.decisions import pairs_summary
    from faceexp.results.spreadsheets import csv_cells
    from faceexp.serving.answers import tally

    summary = tally([same for _, _, same in listed], judged.same.tolist())
    # Without validation pairs of both kinds there is no probability.
    said = zip(
        judged.same.tolist(),
        judged.distance.tolist(),
        (None if math.isnan(value) else value for value in judged.probability.tolist()),
        strict=True,
    )
    rows = ((a, b, *values) for (a, b, _), values in zip(listed, said, strict=True))
    columns = ("a", "b", "same", "distance", "probability")
    if as_json:
        lines = [dict(zip(columns, row, strict=True)) for row in rows]
        show("", {"model": _about(model), "summary": summary, "pairs": lines}, as_json=True)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(csv_cells((a, b, int(same), *numbers)) for a, b, same, *numbers in rows)
    error_console().print(pairs_summary(summary, judged, model))


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
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Rank the people of a gallery by their distance from a photo, and say whether it shows one of them or nobody."""
    from faceexp.report.terminal.decisions import identification
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
    show(identification(answer, opened), answer_as_json(answer) | {"model": _about(opened)}, as_json=as_json)
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
    text = f"{count:,} embeddings of {width} numbers in {output}"
    show(printable(text), done | {"left_out": [str(problem) for problem in problems]}, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _about(model: "FaceModel") -> dict[str, str | bool]:
    """Return what the JSON document says about the model, beside its answers."""
    about: dict[str, str | bool] = {"label": model.label, "folder": str(model.folder), "distance": model.distance}
    return about | {"is_guessing": model.is_guessing}


def _warn_of_several_faces(stderr: "Console", faces: Mapping[str, int]) -> None:
    """Name the photos that show several faces, of which the largest is used."""
    for photo, count in faces.items():
        if count > 1:
            say(f"{photo} shows {count} faces; the largest is compared", "yellow", stderr)


class ModelFormat(StrEnum):
    """The formats in which ``export`` can write the network."""

    ONNX = "onnx"
    TFLITE = "tflite"
    KERAS = "keras"
    SAVED_MODEL = "saved_model"


def export(
    model: Model,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            parser=user_path,
            help="The folder to write to; it must be new or empty.",
            show_default=False,
        ),
    ],
    to: Annotated[
        list[ModelFormat] | None,
        typer.Option("--to", help="The format of the network; by default onnx. Repeatable.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a model for others to use: network, preprocessing and threshold, with a README and a model card."""
    from faceexp.serving.export import export_model

    with quiet() as stderr, stderr.status("converting") if is_screen(stderr) else contextlib.nullcontext():
        exported = export_model(model, folder, [form.value for form in to or (ModelFormat.ONNX,)])
    data = {"folder": str(exported.folder), "bytes": dict(exported.files), "deviations": dict(exported.deviations)}
    sizes = ", ".join(f"{name} ({size / 1e6:.2f} MB)" for name, size in exported.files.items() if size > 10**5)
    text = f"{exported.folder} holds {sizes or ', '.join(exported.files)}; its README.md says how to use it"
    show(printable(text), data, as_json=as_json)
