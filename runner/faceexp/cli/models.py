"""``verify``, ``identify``, ``embed`` and ``export``: a trained model is used."""

import contextlib
import sys
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

    from faceexp.serving.model import FaceModel

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
    as_json: JsonFlag = False,
) -> None:
    """Say whether two photos show the same person, with a probability and the false accept rate of the threshold.

    With --pairs, one line per pair goes to standard output as CSV, and a summary goes to standard error.
    """
    given = photos or []
    if (pairs is None) == (not given) or (given and len(given) != 2):
        raise InputError("name two photos, or a list of pairs with --pairs")
    if pairs is None:
        _verify_two(model, given[0], given[1], far, as_json=as_json)
    else:
        _verify_list(model, pairs, far, as_json=as_json)


def _verify_two(path: str, first: Path, second: Path, far: float | None, *, as_json: bool) -> None:
    from faceexp.report.terminal.decisions import verification
    from faceexp.serving.answers import as_json as answer_as_json
    from faceexp.serving.model import load_model

    with quiet() as stderr:
        model = load_model(path)
        # The network is loaded when it is first used, which takes seconds; on a terminal a word says so meanwhile.
        with stderr.status("loading the model") if is_screen(stderr) else contextlib.nullcontext():
            answer = model.verify(first, second, far)
        _warn_of_several_faces(stderr, dict(zip((str(first), str(second)), answer.faces, strict=True)))
    show(verification(answer, model), answer_as_json(answer) | {"model": _about(model)}, as_json=as_json)


def _verify_list(path: str, file: Path, far: float | None, *, as_json: bool) -> None:
    import csv

    from faceexp.report.terminal.decisions import pairs_summary
    from faceexp.results.jsonable import to_jsonable
    from faceexp.results.spreadsheets import csv_cells
    from faceexp.serving.answers import tally
    from faceexp.serving.model import load_model
    from faceexp.serving.photos import read_pairs

    with quiet() as stderr:
        model = load_model(path)
        pairs = list(read_pairs(file))
        photos = {photo for first, second, _ in pairs for photo in (first, second)}
        with counting(stderr, "embedding photos", len(photos)) as on_progress:
            answers = model.verify_pairs([(first, second) for first, second, _ in pairs], far, on_progress)
        faces = {
            photo: count
            for (first, second, _), answer in zip(pairs, answers, strict=True)
            for photo, count in zip((first, second), answer.faces, strict=True)
        }
        _warn_of_several_faces(stderr, faces)
    summary = tally([same for _, _, same in pairs], [answer.same for answer in answers])
    lines: list[dict[str, object]] = [
        to_jsonable(
            {"a": a, "b": b, "same": answer.same, "distance": answer.distance, "probability": answer.probability}
        )
        for (a, b, _), answer in zip(pairs, answers, strict=True)
    ]
    if as_json:
        show("", {"model": _about(model), "summary": summary, "pairs": lines}, as_json=True)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["a", "b", "same", "distance", "probability"])
    writer.writerows(csv_cells((line | {"same": int(bool(line["same"]))}).values()) for line in lines)
    error_console().print(pairs_summary(summary))


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
    as_json: JsonFlag = False,
) -> None:
    """Rank the people of a gallery by their distance from a photo, and say whether it shows one of them or nobody."""
    from faceexp.report.terminal.decisions import identification
    from faceexp.serving.answers import as_json as answer_as_json
    from faceexp.serving.model import load_model
    from faceexp.serving.photos import gallery_of

    people = gallery_of(gallery)
    with quiet() as stderr:
        opened = load_model(model)
        with counting(stderr, "embedding photos", 1 + sum(map(len, people.values()))) as on_progress:
            answer = opened.identify(people, photo, far, on_progress)
    show(identification(answer, opened), answer_as_json(answer) | {"model": _about(opened)}, as_json=as_json)


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
    as_json: JsonFlag = False,
) -> None:
    """Write the embedding of every photo in a folder; a photo that cannot be used is left out and named."""
    from faceexp.serving.model import load_model
    from faceexp.serving.photos import photos_in, writer_of

    files = photos_in(folder)
    write = writer_of(output)
    with quiet() as stderr:
        opened = load_model(model)
        with counting(stderr, "embedding photos", len(files)) as on_progress:
            embedded, embeddings, problems = opened.embed_files(files, on_progress)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not embedded:
        raise InputError(Problem("none of its photos can be used", str(folder)))
    with writing("--output", output):
        write([str(file.relative_to(folder)) for file in embedded], embeddings)
    done = {"model": _about(opened), "output": str(output), "photos": len(embedded), "width": int(embeddings.shape[1])}
    text = f"{len(embedded):,} embeddings of {embeddings.shape[1]} numbers in {output}"
    show(printable(text), done | {"left_out": [str(problem) for problem in problems]}, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _about(model: "FaceModel") -> dict[str, str]:
    """Return what the JSON document says about the model, beside its answers."""
    return {"label": model.label, "folder": str(model.folder), "distance": model.distance}


def _warn_of_several_faces(stderr: "Console", faces: dict[str, int]) -> None:
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
