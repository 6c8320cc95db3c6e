"""``crops``: what detection makes of the photos of an experiment, before anything trains."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, counting, error_console, print_json, say, user_path, writing
from faceexp.cli.train import Overrides, Spec
from faceexp.errors import InputError, Problem, printable


def crops(
    spec: Spec,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            parser=user_path,
            help="Where to write the contact sheet, .png or .html; by default the experiment's name and -crops.png.",
        ),
    ] = None,
    people: Annotated[
        int | None,
        typer.Option("--people", min=1, metavar="N", help="Look at the first N people of the data set only."),
    ] = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Show which faces are found in the photos, and what the network gets of them: counts, and a contact sheet."""
    from faceexp import pipeline
    from faceexp.data.crops import look_at, of_first
    from faceexp.report.contact_sheet import page, sheet
    from faceexp.report.terminal.crops import crops_lines
    from faceexp.store import write_bytes

    study = pipeline.load(spec, overrides=overrides or ())
    file = out or Path(f"{study.experiment.name}-crops.png")
    if file.suffix.lower() not in (".png", ".html"):
        raise InputError(Problem("has to end in .png or .html, the two forms of the contact sheet", f"--out {file}"))
    with writing("--out", file):
        file.parent.mkdir(parents=True, exist_ok=True)
    data, preprocess = study.data(), study.experiment.preprocess
    indices = of_first(data, people)
    with counting(error_console(), "looking at photos", len(indices)) as advance:
        looked = look_at(data, indices, preprocess, advance, study.resolved.detector)
    content = sheet(looked) if file.suffix.lower() == ".png" else page(looked, study.experiment.name).encode()
    with writing("--out", file):
        write_bytes(file, content)
    if as_json:
        kinds = {kind: [photo.name for photo in looked.of(kind)] for kind in looked.counts}
        print_json({"people": looked.people, "photos": len(looked.photos), "kinds": kinds, "sheet": str(file)})
    else:
        for line in crops_lines(looked, preprocess):
            print(printable(line))
    say(f"contact sheet in {file}")
