"""``export``: a trained model is written for others to use."""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, is_screen, quiet, show, user_path
from faceexp.cli.models import Model


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
    from faceexp.report.terminal.decisions import model_written
    from faceexp.serving.export import export_model

    with quiet() as stderr, stderr.status("converting") if is_screen(stderr) else contextlib.nullcontext():
        exported = export_model(model, folder, [form.value for form in to or (ModelFormat.ONNX,)])
    data = {
        "folder": str(exported.folder),
        "bytes": dict(exported.files),
        "deviations": dict(exported.deviations),
        "label": exported.label,
        "chosen": exported.chosen or None,
        "tested": exported.worth,
    }
    show(model_written(exported), data, as_json=as_json)
