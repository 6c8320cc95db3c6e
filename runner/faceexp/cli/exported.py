"""``export``: a trained model is written for others to use."""

import contextlib
from enum import StrEnum
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, NewFolder, is_screen, quiet, show
from faceexp.cli.models import Model, TrustSavedModel


class ModelFormat(StrEnum):
    """The formats in which ``export`` can write the network."""

    ONNX = "onnx"
    TFLITE = "tflite"
    KERAS = "keras"
    SAVED_MODEL = "saved_model"


def export(
    model: Model,
    folder: NewFolder,
    to: Annotated[
        list[ModelFormat] | None,
        typer.Option(
            "--to",
            help="The format of the network; by default onnx. Repeatable. The file of a network that is only run, such "
            "as one in ONNX, is copied as it is.",
            show_default=False,
        ),
    ] = None,
    trust_saved_model: TrustSavedModel = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a model for others to use: network, preprocessing and threshold, with a README and a model card."""
    from faceexp.report.terminal.decisions import model_written
    from faceexp.serving.export import export_model

    with quiet() as stderr, stderr.status("converting") if is_screen(stderr) else contextlib.nullcontext():
        formats = [form.value for form in to or ()]
        exported = export_model(model, folder, formats, trust_saved_model=trust_saved_model)
    data = {
        "folder": str(exported.folder),
        "bytes": dict(exported.files),
        "deviations": dict(exported.deviations),
        "label": exported.label,
        "copied": exported.copied,
        "chosen": exported.chosen or None,
        "tested": exported.worth,
    }
    show(model_written(exported), data, as_json=as_json)
