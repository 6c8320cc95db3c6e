"""Who uses a store: which runs are at work now, and which experiment has used which artefacts.

When an artefact was used last is the time of its manifest. A run that is at work holds the lock of a file whose name
says when it began: whatever was used since then may be in its hands.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from faceexp.files import UnfitFileError, read_bytes

# A folder in the store with one file for each experiment, which has a line for each artefact that it used.
USES = "uses"
LARGEST_USES = 2**26
LINE = re.compile(r"(\w+)/([0-9a-f]{32})")
# What the name of the lock of a run begins with.
RUN = "run-"
BEGAN = re.compile(rf"{RUN}(\d+)-\w+\.lock")
# The lock of whoever begins to work or looks who is at work: to look is to try the lock of each run, and a run that is
# beginning must not find its own lock taken, or its file removed.
BEGINNING = "runs.lock"


@contextlib.contextmanager
def at_work(locks: Path) -> Iterator[None]:
    """Hold the lock of a run.

    Raises:
        OSError: It cannot be written.
    """
    import filelock

    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / BEGINNING):
        descriptor, name = tempfile.mkstemp(prefix=f".{RUN}", dir=locks)
        os.close(descriptor)
        # The time as the file system has it, which may be that of another machine.
        began = Path(name).stat().st_mtime_ns
        file = Path(name).rename(locks / f"{RUN}{began}-{os.urandom(4).hex()}.lock")
        lock = filelock.FileLock(file)
        lock.acquire(blocking=False)
    try:
        yield
    finally:
        lock.release()
        file.unlink(missing_ok=True)


def at_work_since(locks: Path) -> int | None:
    """Return when the first of the runs began that are at work, in nanoseconds; ``None`` where there is none.

    What runs have left that were killed is removed.

    Raises:
        OSError: The locks cannot be read.
    """
    import filelock

    if not locks.is_dir():
        return None
    since = []
    with filelock.FileLock(locks / BEGINNING):
        for file in locks.glob(f"{RUN}*.lock"):
            began = BEGAN.fullmatch(file.name)
            if not began:
                continue
            lock = filelock.FileLock(file)
            try:
                lock.acquire(blocking=False)
            except TimeoutError:
                since.append(int(began[1]))
                continue
            lock.release()
            file.unlink(missing_ok=True)
    return min(since, default=None)


def last_used(manifest: Path) -> int:
    """Return when an artefact was used last, in nanoseconds; 0 where it is gone."""
    try:
        return manifest.stat().st_mtime_ns
    except OSError:
        return 0


def used_now(manifest: Path) -> None:
    """Say that an artefact was used. A store in which nothing may be written is read all the same."""
    with contextlib.suppress(OSError):
        os.utime(manifest)


def note_use(root: Path, experiment: str, kind: str, name: str) -> None:
    """Write down that an experiment has used an artefact. Lines of several processes do not mix: they are short."""
    with contextlib.suppress(OSError):
        (root / USES).mkdir(exist_ok=True)
        with (root / USES / f"{experiment}.txt").open("a", encoding="ascii") as file:
            file.write(f"{kind}/{name}\n")


def uses(root: Path) -> dict[str, frozenset[tuple[str, str]]]:
    """Return kind and name of what each experiment has used, whether it is still there or not."""
    used = {}
    for file in sorted((root / USES).glob("*.txt")):
        with contextlib.suppress(OSError, UnfitFileError, ValueError):
            text = read_bytes(file, LARGEST_USES).decode("ascii")
            used[file.stem] = frozenset((kind, name) for kind, name in LINE.findall(text))
    return used


def forget_uses(root: Path) -> None:
    """Remove what is known of the uses of artefacts."""
    for file in (root / USES).glob("*.txt"):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        (root / USES).rmdir()
