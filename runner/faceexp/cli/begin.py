"""``init``: somebody's photos are looked at, and an experiment that fits them is written."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, counting, error_console, output_console, print_json, user_path, writing
from faceexp.errors import InputError, Problem, printable

MAX_NAME = 60


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", parser=user_path, help="The photos: one folder for each person.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            parser=user_path,
            help="The file to write, which must not be there yet; by default the folder's name with .toml.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Look at a folder of photos, and write an experiment file that fits them, with a comment at each choice."""
    from faceexp.planning.begin import begin

    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.absolute().resolve().name).strip("-._")[:MAX_NAME] or "faces"
    file = out or Path(f"{name}.toml")
    if file.exists() or file.is_symlink():
        raise InputError(Problem("is there already and is not overwritten; name another file", f"--out {file}"))
    with counting(error_console(), "photos looked at", 100) as on_progress:
        suggestion = begin(folder, file, name, lambda done, total: on_progress(100 * done // max(total, 1)))
    with writing("--out", file), file.open("x", encoding="utf-8") as stream:
        stream.write(suggestion.text)
    quoted = shlex.quote(str(file))
    steps = [f"faceexp run {quoted} --dry-run", f"faceexp run {quoted}"]
    if suggestion.detects or not suggestion.is_sure:
        steps.insert(0, f"faceexp crops {quoted}")
    if as_json:
        print_json(
            {
                "file": str(file),
                "people": suggestion.people,
                "images": suggestion.images,
                "detects": suggestion.detects,
                "sure": suggestion.is_sure,
                "facts": [printable(fact) for fact in suggestion.facts],
                "next": steps,
            }
        )
        return
    console = output_console()
    for fact in suggestion.facts:
        console.print(f"- {printable(fact)}", markup=False, highlight=False, emoji=False)
    print(f"\nwrote {printable(str(file))}: {suggestion.people} people and {suggestion.images} photos take part; next:")
    words = {"crops": "look at what is cropped", "--dry-run": "how long it takes", "run": "train and compare"}
    for step in steps:
        why = next(text for word, text in words.items() if word in step.split())
        print(f"  {printable(step)}   # {why}")
