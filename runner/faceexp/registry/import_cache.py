"""Which plugins are known to import, so that whoever lists them need not import them all again.

A plugin that was imported well is taken to do so for as long as nothing has changed that was there when it did: Python,
the folders that Python searches, in which installing and uninstalling anything leaves its mark, and the file of every
module that was loaded. One change, and every plugin is imported again. What is broken is never remembered, so that it
is tried each time.

What modules read beyond other modules while they are imported, an environment variable for instance, is not watched.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from faceexp.registry.installed import InstalledPlugin
from faceexp.store import write_text

# File systems keep time more coarsely than the clock: what was written as lately may have been written later.
TICK = 100_000_000  # nanoseconds


@dataclass(frozen=True)
class ImportCache:
    """Plugins that import, and what must not have changed since they were imported."""

    plugins: frozenset[InstalledPlugin] = frozenset()
    watched: frozenset[str] = frozenset()


def recall(file: Path) -> ImportCache:
    """Return what :func:`remember` wrote; nothing where something has changed since, or the file is lost or damaged."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        states = kept["states"]
        if _python() == kept["python"] and all(_state(name) == state for name, state in states.items()):
            return ImportCache(frozenset(InstalledPlugin(*plugin) for plugin in kept["plugins"]), frozenset(states))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return ImportCache()


def remember(file: Path, known: ImportCache, imported: Iterable[InstalledPlugin], began: int) -> None:
    """Remember that plugins were imported well, beside those that are known; a file that cannot be written is no harm.

    Args:
        file: Where to.
        known: What :func:`recall` gave.
        imported: Plugins that this process has imported since.
        began: When it began to, in nanoseconds; what has changed since then may not be what was imported.
    """
    # Their own attributes alone: some modules import others when asked for one that they do not have.
    own = [getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())]
    loaded = {str(file) for file in own if file}
    states = {name: _state(name) for name in sorted({*known.watched, *_folders(), *loaded})}
    if any(state and state[0] > began - TICK for state in states.values()):
        return
    plugins = sorted(astuple(plugin) for plugin in {*known.plugins, *imported})
    with contextlib.suppress(OSError):
        write_text(file, json.dumps({"python": _python(), "states": states, "plugins": plugins}))


def _python() -> list[Any]:
    return [sys.version, *_folders()]


def _folders() -> list[str]:
    return [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100 - "" is the current folder


def _state(name: str) -> list[int] | None:
    """Return what tells a file or folder from what it was before, as Python tells whether compiled code is stale."""
    try:
        found = os.stat(name)  # noqa: PTH116 - several hundred of them are asked for
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]
