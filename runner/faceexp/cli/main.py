"""The commands of ``faceexp``, in the order in which its help shows them, and what surrounds each of them."""

# No file of this package has `from __future__ import annotations`: it would turn annotations into text, which typer
# would have to evaluate again, for every command, on each start.

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any

# pydantic would look through every installed package for plugins of pydantic, on each start; nobody here uses any.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer
from typer.core import TyperCommand, TyperGroup

from faceexp.cli import (
    begin,
    cache,
    crops,
    evaluate,
    exported,
    merge,
    models,
    plugins,
    power,
    publish,
    results,
    runs,
    streams,
    train,
)
from faceexp.cli.console import GARBAGE, fail
from faceexp.cli.interrupts import heard, interruptible
from faceexp.errors import InputError, printable


class Command(TyperCommand):
    """A command whose help speaks to people who do not write Python."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer keeps these types to itself
        """Write the help."""
        _plainly(self.get_params(ctx))
        super().format_help(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        """Return what stands in the line "Usage", without braces and dots around what names its form itself."""
        pieces = super().collect_usage_pieces(ctx)
        return [
            piece.removesuffix("...").removeprefix("{").removesuffix("}") if piece.startswith("{") else piece
            for piece in pieces
        ]


class Commands(TyperGroup):
    """All commands. What typer says of a wrong call quotes what was written, so it is made printable."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help."""
        _plainly(self.get_params(ctx))
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps the types of both to itself
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # So it keeps the type of its errors; they are those that have a message.
            if isinstance(message := getattr(error, "message", None), str):
                vars(error)["message"] = printable(message)
            raise


def _plainly(params: Iterable[Any]) -> None:
    """Take types of Python out of a help: a flag takes no value, and what others take is named by their metavar."""
    for param in params:
        if param.param_type_name == "argument":
            param.metavar = param.metavar or param.name.upper()
            # Its own type, a path or a text, is told by the name and the text beside it.
            param.display_type_rich = _nothing
        elif getattr(param, "is_flag", False):
            param.metavar = ""
        elif not param.metavar:
            shown = getattr(param, "display_type_rich", str)(None)
            words = {"<str>": param.name.upper(), "<float>": "NUMBER", "<int>": "NUMBER", "<Path>": "PATH"}
            param.metavar = words.get(shown) or shown.replace("<list[", "<").replace("]>", ">")
        if param.metavar == "METRIC":
            from faceexp.evaluation.catalogue import METRICS

            param.help = f"{param.help.rstrip('.')}: {', '.join(metric.key for metric in METRICS)}."


def _nothing(ctx: object) -> None:
    """Stand for the type of an argument in a help."""


app = typer.Typer(
    name="faceexp",
    cls=Commands,
    help=(
        "Which metric-learning loss is better for telling whether two face photos show the same person, "
        "and is the difference real?\n\n"
        "Write one TOML file, run it, and read the table: `faceexp run experiments/all_losses.toml`."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order in which the help shows them: what a command does, and a call to try, with which its help ends.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "init": (begin.init, "faceexp init faces"),
    "run": (train.run, "faceexp run experiments/all_losses.toml --jobs 2"),
    "validate": (train.validate, "faceexp validate mine.toml --set finetune.steps=100"),
    "crops": (crops.crops, "faceexp crops mine.toml --people 20 --out faces.html"),
    "runs": (runs.runs, "faceexp runs"),
    "report": (results.report, "faceexp report runs/all_losses-1a2b3c4d --sort auc --html page.html"),
    "merge": (merge.merge, "faceexp merge runs/faces-1a2b3c4d-shard-*"),
    "publish": (publish.publish, "faceexp publish runs/all_losses-1a2b3c4d to_check"),
    "verify-run": (publish.verify_run, "faceexp verify-run to_check --set dataset.path=photos"),
    "compare": (results.compare, "faceexp compare runs/mine-1a2b3c4d runs/mine-5e6f7a8b --metric auc"),
    "power": (power.power, "faceexp power runs/all_losses-1a2b3c4d --metric accuracy"),
    "evaluate": (evaluate.evaluate, "faceexp evaluate arcface.onnx --dataset image_folder --path photos"),
    "verify": (models.verify, "faceexp verify runs/all_losses-1a2b3c4d a.jpg b.jpg"),
    "identify": (models.identify, "faceexp identify runs/all_losses-1a2b3c4d people photo.jpg"),
    "embed": (models.embed, "faceexp embed runs/all_losses-1a2b3c4d photos"),
    "export": (exported.export, "faceexp export runs/all_losses-1a2b3c4d exported --to onnx"),
    "list-plugins": (plugins.list_plugins, "faceexp list-plugins loss"),
    "describe": (plugins.describe, "faceexp describe metric auc"),
    "new-plugin": (plugins.new_plugin, "faceexp new-plugin loss my_loss --out plugins"),
    "schema": (plugins.schema, "faceexp schema > faceexp.schema.json"),
    "cache": (cache.cache, "faceexp cache --store /data/faceexp"),
}
for name, (command, example) in COMMANDS.items():
    app.command(name, cls=Command, epilog=f"Example: {example}")(interruptible(command))


def main() -> None:
    """Run the command line; wrong input ends with one line per mistake and exit code 2."""
    # Whatever is made while modules are imported lives until the end. To look for garbage in it after every 700 new
    # objects, and once more at the end, would take a sixth of the time of a short command and a fifth of the import of
    # TensorFlow.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    streams.prepare()
    try:
        try:
            with heard():
                app(prog_name="faceexp")
        finally:
            sys.stdout.flush()  # here, where a disk that is full can still be told of
    except InputError as error:
        fail(error)
    finally:
        gc.set_threshold(*GARBAGE)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"faceexp {installed('faceexp')}")
        raise typer.Exit
