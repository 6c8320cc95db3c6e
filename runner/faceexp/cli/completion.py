"""What a shell completes when Tab is pressed: plugins, metrics, labels of losses, runs; nothing imports TensorFlow.

A mistake in a file, or a folder that cannot be read, completes nothing: a shell has no place for a message.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import typer


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Complete a kind of plugin."""
    from faceexp.contract import GROUPS

    return _beginning(GROUPS, incomplete)


def metrics(incomplete: str) -> list[str]:
    """Complete a metric."""
    from faceexp.evaluation.catalogue import METRIC_OF

    return _beginning(METRIC_OF, incomplete)


def described(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete what ``describe`` takes: a kind or a name, and after a kind a name of it."""
    from faceexp.contract import GROUPS
    from faceexp.registry.installed import discover

    kind = (ctx.params.get("words") or [""])[0]
    if kind == "metric":
        return metrics(incomplete)
    plugins = discover().plugins
    if kind in GROUPS:
        return _beginning(sorted({plugin.name for plugin in plugins if plugin.kind == kind}), incomplete)
    names = sorted({plugin.name for plugin in plugins})
    return _beginning([*GROUPS, "metric", *names], incomplete) + metrics(incomplete)


def labels(incomplete: str) -> list[str]:
    """Complete the label of a loss of the experiment file that stands on the command line."""
    from faceexp.errors import InputError
    from faceexp.experiment import parse, toml

    # Nothing is parsed before an option that has no value yet, so the file is looked for among the words of the line.
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    file = next((word for word in line.split() if word.endswith(".toml")), None)
    if file is None:
        return []
    with contextlib.suppress(InputError, OSError):
        experiment, _, _ = parse.parse(toml.read(file))
        return _beginning((loss.label for loss in experiment.losses) if experiment else (), incomplete)
    return []


def runs(incomplete: str) -> list[str]:
    """Complete the folder of a run: those in ``runs``, or in the folder that was begun."""
    folder = Path(incomplete).parent if "/" in incomplete else Path("runs")
    with contextlib.suppress(OSError):
        found = [path.parent.as_posix() for path in sorted(folder.glob("*/results.json"))]
        return _beginning(found, incomplete) or [path for path in found if Path(path).name.startswith(incomplete)]
    return []


def test_sets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a test set of the run that stands on the command line."""
    from faceexp.errors import InputError
    from faceexp.run import open_run

    with contextlib.suppress(InputError, OSError, TypeError, LookupError):
        # Several runs are compared on a set that all of them have, so the first one knows it.
        folder = ctx.params.get("folder") or ctx.params["folders"][0]
        return _beginning(open_run(folder).test_sets, incomplete)
    return []
