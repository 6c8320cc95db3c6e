"""Which plugins are known to import without error, so that listing them need not import them all again.

Importing fifty plugins takes seconds. A plugin that was imported without error is taken to do so again for as long as
nothing has changed that was there at the time: Python itself, the folders that Python searches (in which installing or
uninstalling anything leaves its mark), and the file of every module that was loaded. After one change, every plugin is
imported again. A broken plugin is never remembered, so that it is tried each time.

What modules read beyond other modules while they are imported, an environment variable for instance, is not watched.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from faceexp.files import read_bytes
from faceexp.registry.installed import InstalledPlugin
from faceexp.store import StoreError, write_text

# File systems keep time more coarsely than the clock does: a file with an older time may have been written later.
CLOCK_TOLERANCE = 100_000_000  # nanoseconds
# The most bytes that the file may have. It has about a hundred for each module that was loaded.
LARGEST = 2**24


class Known(NamedTuple):
    """What is learnt of a plugin when it is imported.

    Attributes:
        summary: The first line of its docstring.
        slow: Why it took long, if it did.
    """

    summary: str
    slow: str = ""


@dataclass(frozen=True)
class ImportCache:
    """What is remembered.

    Attributes:
        plugins: Those that were imported without error, and what was learnt of them.
        watched: Files and folders that must not have changed since.
    """

    plugins: Mapping[InstalledPlugin, Known] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()


def recall(file: Path) -> ImportCache:
    """Return what :func:`remember` wrote; an empty cache where anything has changed since, or the file is damaged."""
    try:
        content = json.loads(read_bytes(file, LARGEST))
        states = content["states"]
        if _python() == content["python"] and all(_state(name) == state for name, state in states.items()):
            plugins = {
                InstalledPlugin(*map(_text, plugin)): Known(*map(_text, known)) for plugin, known in content["plugins"]
            }
            return ImportCache(plugins, frozenset(states))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return ImportCache()


def remember(file: Path, cache: ImportCache, imported: Mapping[InstalledPlugin, Known], began: int) -> None:
    """Write down that plugins were imported without error; where the file cannot be written, nothing is lost but time.

    Args:
        file: Where to write.
        cache: What :func:`recall` returned; its plugins are remembered, too.
        imported: Plugins that this process has imported since, and what it has learnt of them.
        began: When it began to, in nanoseconds; a file that has changed since then may not be what was imported.
    """
    try:
        folders = _folders()
    except FileNotFoundError:  # Python searches the current folder, which was removed
        return
    # Read from __dict__: some modules import others when they are asked for an attribute that they do not have.
    files = [getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())]
    loaded = {str(path) for path in files if path}
    states = {name: _state(name) for name in sorted({*cache.watched, *folders, *loaded})}
    if any(state and state[0] > began - CLOCK_TOLERANCE for state in states.values()):
        return
    plugins = sorted((astuple(plugin), known) for plugin, known in {**cache.plugins, **imported}.items())
    with contextlib.suppress(OSError):
        file.rmdir()  # an empty folder may be in its place
    with contextlib.suppress(StoreError):
        write_text(file, json.dumps({"python": _python(), "states": states, "plugins": plugins}))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _python() -> list[Any]:
    return [sys.version, *_folders()]


def _folders() -> list[str]:
    return [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100 - "" is the current folder


def _state(name: str) -> list[int] | None:
    """Return time and size of a file or folder, by which Python, too, decides whether compiled code is stale."""
    try:
        status = os.stat(name)  # noqa: PTH116 - several hundred of them are asked for
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]
