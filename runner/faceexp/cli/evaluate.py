"""``evaluate``: a model that exists is measured on a data set, without training anything."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli import completion
from faceexp.cli.console import JsonFlag, StoreFolder, user_path
from faceexp.cli.train import Jobs, Out, Overrides, carry_out


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A file of a network, such as arcface.onnx; or a run, RUN:label, or a folder that `faceexp export` "
            "wrote.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option("--dataset", metavar="NAME", help="The plugin of the data set; `faceexp list-plugins dataset`."),
    ],
    path: Annotated[
        Path | None,
        typer.Option(
            "--path", metavar="PATH", parser=user_path, help="The folder or file of the data set, if it takes one."
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Judge the pairs of this list and their folds; `own` for the list that comes with the data set. "
            "Without it, people are dealt to validation and test, once for each of five seeds.",
        ),
    ] = None,
    templates: Annotated[
        list[str] | None,
        typer.Option(
            "--templates",
            metavar="FILE",
            help="Judge the templates of this list, as IJB has them (image, template, medium; or NIST's CSV); once for "
            "each file. With --pairs, that list names pairs of templates.",
        ),
    ] = None,
    out: Out = Path("runs"),
    store: StoreFolder = None,
    jobs: Jobs = 1,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model that exists on a data set, with the thresholds, intervals and pages of every run.

    The folder of the run holds the experiment file, in which further rows can be compared with the model.
    """
    from faceexp import pipeline
    from faceexp.serving.evaluated import SEEDS, experiment_of

    protocol: dict[str, object] = {"kind": "pairs_file" if pairs else "open_set"}
    if pairs and pairs != "own":
        protocol["path"] = str(user_path(pairs))
    if templates:
        protocol["template_list"] = [str(user_path(file)) for file in templates]
    text = experiment_of(model, dataset, path, protocol, (0,) if pairs else SEEDS)
    carry_out(pipeline.loads(text, "evaluate", overrides=overrides or ()), out, store, jobs, as_json=as_json)
