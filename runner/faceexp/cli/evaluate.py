"""``evaluate``: a model that exists is measured on a data set, without training anything."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli import completion
from faceexp.cli.console import JsonFlag, StoreFolder, quiet, say, user_path
from faceexp.cli.train import Jobs, Out, Overrides, carry_out


class EmbeddingDistance(StrEnum):
    """The distances by which embeddings can be compared."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"


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
    distance: Annotated[
        EmbeddingDistance | None,
        typer.Option(
            "--distance",
            help="The distance by which embeddings are compared; by default cosine, or that of a model of faceexp.",
            show_default=False,
        ),
    ] = None,
    detect: Annotated[
        str | None,
        typer.Option(
            "--detect",
            metavar="DETECTOR",
            help="How faces are found in the data set: a plugin of `faceexp list-plugins detector`, or `none` where "
            "its images are crops already. By default as for the model's own photos; of a file of a network, whose "
            "photos nobody knows, images are taken whole.",
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
    text = experiment_of(model, dataset, path, protocol, (0,) if pairs else SEEDS, detect)
    chosen = [f'pretrained[0].distance="{distance.value}"'] if distance else []
    study = pipeline.loads(text, "evaluate", overrides=[*(overrides or ()), *chosen])
    with quiet() as stderr:
        (row, *_) = study.experiment.pretrained
        (other, *_) = [each.value for each in EmbeddingDistance if each.value != row.distance]
        say(f"{row.label} is compared by {row.distance} distance; --distance {other} changes that", "dim", stderr)
    carry_out(study, out, store, jobs, as_json=as_json)
