"""The commands of ``faceexp``, in the order in which its help shows them, and what surrounds each of them."""

# No file of this package has `from __future__ import annotations`: it would turn annotations into text, which typer
# would have to evaluate again, for every command, on each start.

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

# pydantic would look through every installed package for plugins of pydantic, on each start; nobody here uses any.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer
from typer.core import TyperGroup

from faceexp.cli import begin, cache, crops, models, plugins, results, runs, streams, train
from faceexp.cli.console import GARBAGE, fail
from faceexp.cli.interrupts import heard, interruptible
from faceexp.errors import InputError, printable


class Commands(TyperGroup):
    """All commands. What typer says of a wrong call quotes what was written, so it is made printable."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps the types of both to itself
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # So it keeps the type of its errors; they are those that have a message.
            if isinstance(message := getattr(error, "message", None), str):
                vars(error)["message"] = printable(message)
            raise


app = typer.Typer(
    name="faceexp",
    cls=Commands,
    help=(
        "Which metric-learning loss is better for telling whether two face photos show the same person, "
        "and is the difference real?\n\n"
        "Write one TOML file, run it, and read the table: `faceexp run experiments/all_losses.toml`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, Callable[..., None]] = {
    "init": begin.init,
    "run": train.run,
    "list-plugins": plugins.list_plugins,
    "describe": plugins.describe,
    "new-plugin": plugins.new_plugin,
    "validate": train.validate,
    "crops": crops.crops,
    "schema": plugins.schema,
    "runs": runs.runs,
    "report": results.report,
    "compare": results.compare,
    "power": results.power,
    "cache": cache.cache,
    "verify": models.verify,
    "identify": models.identify,
    "embed": models.embed,
    "export": models.export,
}
for name, command in COMMANDS.items():
    app.command(name)(interruptible(command))


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
                app()
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
