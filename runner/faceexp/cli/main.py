"""The commands of ``faceexp``, in the order in which its help shows them, and what surrounds each of them."""

# Annotations are no texts in this package: typer would evaluate those of every command on each start.

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated

# pydantic looks through every installed package for plugins of its own, which nobody here has, on each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from faceexp.cli import cache, models, plugins, results, train
from faceexp.cli.console import GARBAGE, fail
from faceexp.errors import InputError

app = typer.Typer(
    name="faceexp",
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
    "run": train.run,
    "list-plugins": plugins.list_plugins,
    "describe": plugins.describe,
    "new-plugin": plugins.new_plugin,
    "validate": train.validate,
    "schema": plugins.schema,
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
    app.command(name)(command)


def main() -> None:
    """Run the command line; bad input ends with one line for each mistake and exit code 2."""
    # What is made while modules are imported lives until the end. Looking for garbage among it every 700 objects, and
    # once more at the end, takes a sixth of a short command's time and a fifth of TensorFlow's import.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        app()
    except InputError as error:
        fail(error)
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
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
