"""``verify``, ``identify``, ``embed`` and ``export``: a trained model at work."""

import contextlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceexp.cli.console import JsonFlag, counting, error_console, quiet, show, writing
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from rich.console import Console


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A run (its best loss by validation), RUN:label or an exported folder.",
        show_default=False,
    ),
]


Far = Annotated[
    float | None,
    typer.Option("--far", metavar="RATE", help="Take the threshold at this false accept rate, e.g. 0.001."),
]


def verify(
    model: Model,
    photos: Annotated[list[Path] | None, typer.Argument(metavar="A B", help="Two photos.", show_default=False)] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="CSV", help="Judge the pairs of a file with the columns a,b or a,b,same."),
    ] = None,
    far: Far = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether two photos show the same person, with a probability and the threshold's false accept rate.

    With --pairs, one line a pair goes to standard output as CSV, and a summary to standard error.
    """
    given = photos or []
    if (pairs is None) == (not given) or (given and len(given) != 2):
        raise InputError("name two photos, or a list of pairs with --pairs")
    with quiet() as stderr:
        opened, info = _open_model(model)
        if pairs is None:
            # The network is loaded when it is first used, which takes seconds: one word is said meanwhile.
            with stderr.status("loading the model") if stderr.is_terminal else contextlib.nullcontext():
                found = _json_of(opened.verify(given[0], given[1], far))
            _several(stderr, {str(photo): faces for photo, faces in zip(given, found["faces"], strict=True)})
        else:
            listed, judged = _judge(opened, pairs, far, stderr)
    if pairs is None:
        from faceexp.report.terminal.decisions import verification

        show(verification(found, info), found | {"model": info}, as_json=as_json)
        return
    _print_pairs(listed, judged, info, as_json=as_json)


def _judge(opened: Any, pairs: Path, far: float | None, stderr: "Console") -> tuple[list[Any], list[Any]]:  # noqa: ANN401
    from faceexp.serving.photos import read_pairs

    listed = list(read_pairs(pairs))
    with counting(stderr, "embedding photos", len({file for a, b, _ in listed for file in (a, b)})) as tell:
        judged = [_json_of(found) for found in opened.verify_pairs([(a, b) for a, b, _ in listed], far, tell)]
    faces = {
        file: count
        for (a, b, _), found in zip(listed, judged, strict=True)
        for file, count in zip((a, b), found["faces"], strict=True)
    }
    _several(stderr, faces)
    return listed, judged


def _print_pairs(listed: list[Any], judged: list[Any], info: Any, *, as_json: bool) -> None:  # noqa: ANN401
    import csv

    from faceexp.report.terminal.decisions import pairs_summary
    from faceexp.serving.model import tally

    summary = tally([same for _, _, same in listed], [found["same"] for found in judged])
    rows = [
        {"a": a, "b": b, "same": found["same"], "distance": found["distance"], "probability": found["probability"]}
        for (a, b, _), found in zip(listed, judged, strict=True)
    ]
    if as_json:
        print(json.dumps({"model": info, "summary": summary, "pairs": rows}, indent=1, allow_nan=False))
        return
    writer = csv.DictWriter(sys.stdout, ["a", "b", "same", "distance", "probability"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"same": int(row["same"])} for row in rows)
    error_console().print(pairs_summary(summary))


def identify(
    model: Model,
    gallery: Annotated[
        Path,
        typer.Argument(metavar="GALLERY", help="A folder a person, or one photo each, so named.", show_default=False),
    ],
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Whom to look for.", show_default=False)],
    far: Far = None,
    as_json: JsonFlag = False,
) -> None:
    """Rank the people of a gallery by how near they are to a photo; it may also show nobody of them."""
    from faceexp.report.terminal.decisions import identification
    from faceexp.serving.photos import gallery_of

    people = gallery_of(gallery)
    with quiet() as stderr:
        opened, info = _open_model(model)
        with counting(stderr, "embedding photos", 1 + sum(map(len, people.values()))) as tell:
            found = _json_of(opened.identify(people, photo, far, tell))
    show(identification(found, info), found | {"model": info}, as_json=as_json)


def embed(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of photos.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write: .parquet, .csv or .npz.")
    ] = Path("embeddings.parquet"),
    as_json: JsonFlag = False,
) -> None:
    """Write the embedding of every photo in a folder; one that cannot be used is left out and named."""
    from faceexp.serving.photos import photos_in, writer_of

    files = photos_in(folder)
    write = writer_of(output)
    with quiet() as stderr:
        opened, info = _open_model(model)
        with counting(stderr, "embedding photos", len(files)) as tell:
            kept, embeddings, problems = opened.embed_files(files, tell)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not kept:
        raise InputError(Problem("none of its photos can be used", str(folder)))
    with writing("--output", output):
        write([str(file.relative_to(folder)) for file in kept], embeddings)
    done = {"model": info, "output": str(output), "photos": len(kept), "width": int(embeddings.shape[1])}
    text = f"{len(kept):,} embeddings of {embeddings.shape[1]} numbers in {output}"
    show(text, done | {"left_out": [str(problem) for problem in problems]}, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _open_model(path: str) -> tuple[Any, dict[str, str]]:
    """Open a model, and return what is said of it beside its answers."""
    from faceexp.serving.model import load_model

    opened = load_model(path)
    return opened, {"label": opened.label, "folder": str(opened.folder), "distance": opened.distance}


def _several(stderr: "Console", faces: dict[str, int]) -> None:
    """Say of which photos the largest of several faces was taken."""
    for photo, count in faces.items():
        if count > 1:
            stderr.print(f"{photo} shows {count} faces; the largest is compared", style="yellow", soft_wrap=True)


def _json_of(value: Any) -> Any:  # noqa: ANN401
    """Return a frozen value as JSON data."""
    from faceexp.serving.model import as_json

    return as_json(value)


class ModelFormat(StrEnum):
    """What ``export`` writes the network as."""

    ONNX = "onnx"
    TFLITE = "tflite"
    KERAS = "keras"
    SAVED_MODEL = "saved_model"


def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, new or empty.", show_default=False)],
    to: Annotated[
        list[ModelFormat] | None,
        typer.Option("--to", help="How to write the network; by default onnx. Repeatable.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a model for others to use: network, preprocessing and threshold, with README and model card."""
    from rich.markup import escape

    from faceexp.serving.export import export_model

    with quiet() as stderr, stderr.status("converting") if stderr.is_terminal else contextlib.nullcontext():
        done = export_model(model, folder, [form.value for form in to or (ModelFormat.ONNX,)])
    data = {"folder": str(done.folder), "bytes": dict(done.files), "deviations": dict(done.deviations)}
    sizes = ", ".join(f"{name} ({size / 1e6:.2f} MB)" for name, size in done.files.items() if size > 10**5)
    said = f"{done.folder} holds {sizes or ', '.join(done.files)}; its README.md says how to use it"
    show(escape(said), data, as_json=as_json)
