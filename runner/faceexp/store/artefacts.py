"""The store itself: a folder of artefacts, which several processes may use at once.

The system frees the lock of a process that ends, however it ends. So a temporary folder whose lock is free was left by
a process that was killed, and may be removed. Lock files are empty and stay: if one were removed while a process waits
for it, two processes could get in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem
from faceexp.files import UnfitFileError, read_bytes
from faceexp.store.keys import Inputs, digest
from faceexp.store.places import explained, is_of_the_place
from faceexp.store.sealed import MANIFEST, folders_in, is_whole, kind_in, remove, seal, size_of
from faceexp.store.uses import at_work, at_work_since, forget_uses, last_used, note_use, used_now, uses
from faceexp.store.writing import NEW_FILE, remove_abandoned, write_text

if TYPE_CHECKING:
    from filelock import BaseFileLock

# A file that every store has, and that no other folder has by chance. It may hold the limit of the store's size, too.
MARK = "faceexp-store.json"
FORMAT = {"faceexp": "store", "format": 1}
LARGEST_MARK = 2**12
# A file in the store that says which plugins were imported without error, so that they need not be imported again.
MEMORY = "plugins.json"
# A folder in the store with one empty file per artefact, by which processes wait for each other.
LOCKS = "locks"
# Among the kinds of artefacts: what processes left half written when they were killed.
UNFINISHED = "unfinished"
# Seconds that one who removes an artefact waits for whoever uses it. To check or to seal one takes far less; work that
# grows may be in use for hours.
PATIENCE = 2.0
# The name of an artefact, and that of the folder in which one is being made.
KEY = re.compile("[0-9a-f]{32}")
DRAFT = re.compile(r"\.([0-9a-f]{32})-\w+")


@dataclass(frozen=True)
class Artefact:
    """A folder of finished files, and whether it was there already."""

    path: Path
    key: str
    reused: bool


@dataclass(frozen=True)
class Store:
    """A folder of artefacts. Every problem of the place is a :class:`StoreError`.

    Attributes:
        root: The folder.
        experiment: What the run is called that uses it, for whoever wonders whose the artefacts are.
    """

    root: Path
    experiment: str = ""
    _noted: set[tuple[str, str]] = field(default_factory=set, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make the folder's path absolute: a plugin may change the current folder."""
        with explained(self.root):
            object.__setattr__(self, "root", Path(os.path.abspath(self.root)))  # noqa: PTH100 - it must not follow links

    def find(self, kind: str, inputs: Inputs) -> Artefact | None:
        """Return the artefact of these inputs, if it is there and whole."""
        key = digest(inputs)
        path = self._path(kind, key)
        with explained(self.root):
            if not is_whole(path, kind, key):
                return None
        used_now(path / MANIFEST)
        self._note(kind, path.name)
        return Artefact(path, key, reused=True)

    def get(self, kind: str, inputs: Inputs, make: Callable[[Path], None]) -> Artefact:
        """Return the artefact of these inputs, made by ``make(folder)`` where it is missing or damaged.

        Raises:
            StoreError: It can be neither read nor written. Whatever else ``make`` raises passes through.
        """
        key = digest(inputs)
        path = self._path(kind, key)
        with self._locked(kind, path.name):
            artefact = self.find(kind, inputs)
            if artefact:
                return artefact
            with explained(self.root):
                self._mark()
                path.parent.mkdir(parents=True, exist_ok=True)
                for leftover in path.parent.glob(f".{path.name}-*"):
                    shutil.rmtree(leftover, ignore_errors=True)
                remove(path)
                draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
            try:
                with explained(self.root, lambda error: is_of_the_place(error) or not draft.is_dir()):
                    make(draft)
                with explained(self.root):
                    seal(draft, {"kind": kind, "key": key, "inputs": inputs})
                    draft.rename(path)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        self._note(kind, path.name)
        return Artefact(path, key, reused=False)

    @contextlib.contextmanager
    def growing(self, kind: str, inputs: Inputs, on_wait: Callable[[], object] = lambda: None) -> Iterator[Path]:
        """Yield the folder of work that grows step by step; a process that is killed leaves it as far as it has come.

        Nobody else has it meanwhile. What is in it has to bear being cut off anywhere: its checksums are those of the
        last time that a process ended by itself, so they are not compared.

        Args:
            kind: The kind of work.
            inputs: Everything that determines it.
            on_wait: Is called where another process has the folder, before this one waits for it.
        """
        key = digest(inputs)
        path = self._path(kind, key)
        description = {"kind": kind, "key": key, "inputs": inputs}
        with self._locked(kind, path.name, on_wait=on_wait):
            with explained(self.root):
                self._mark()
                if kind_in(path / MANIFEST) != kind:
                    remove(path)
                    path.mkdir(parents=True)
                    seal(path, description)
            self._note(kind, path.name)
            with explained(self.root, lambda error: is_of_the_place(error) or not path.is_dir()):
                yield path
            with explained(self.root):
                seal(path, description)

    def grown(self, kind: str, inputs: Inputs) -> Path | None:
        """Return the folder of such work to look at, however far it has come; nothing where it was never begun."""
        path = self._path(kind, digest(inputs))
        with explained(self.root):
            return path if kind_in(path / MANIFEST) == kind else None

    def contents(self) -> dict[str, tuple[int, int]]:
        """Return how many artefacts of each kind there are, and how many bytes they have together.

        What processes left half written when they were killed counts as the kind :data:`UNFINISHED`.
        """
        held: dict[str, tuple[int, int]] = {}
        for kind, folder in self._artefacts():
            number, size = held.get(kind, (0, 0))
            held[kind] = (number + 1, size + size_of(folder))
        sizes = [size_of(folder) for folder in self._leftovers()]
        return held | ({UNFINISHED: (len(sizes), sum(sizes))} if sizes else {})

    def by_experiment(self) -> dict[str, tuple[int, int]]:
        """Return how many artefacts each experiment has used that are there, and how many bytes they have together.

        What several have used counts for each of them; what none is known to have used counts for "".
        """
        sizes = {(kind, folder.name): size_of(folder) for kind, folder in self._artefacts()}
        used = {name: sizes.keys() & artefacts for name, artefacts in uses(self.root).items()}
        used[""] = sizes.keys() - frozenset().union(*used.values())
        return {name: (len(held), sum(sizes[each] for each in held)) for name, held in used.items() if held}

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Say that a run is at work, so that nothing that it uses from now on is pruned."""
        with contextlib.ExitStack() as held:
            with explained(self.root):
                held.enter_context(at_work(self.root / LOCKS))
            yield

    def prune(self, most: int) -> tuple[int, int]:
        """Remove artefacts, those first that were used least recently, until the rest takes no more than some bytes.

        What a run that is at work has used since it began stays, and so does what another process is making.

        Returns:
            How many were removed, and how many bytes they had.

        Raises:
            InputError: See :meth:`check_mark`.
        """
        self.check_mark()
        self.remove_leftovers()
        with explained(self.root):
            since = at_work_since(self.root / LOCKS)
        held = [(last_used(folder / MANIFEST), size_of(folder), kind, folder) for kind, folder in self._artefacts()]
        too_much, removed, freed = sum(size for _, size, _, _ in held) - most, 0, 0
        for used, size, kind, folder in sorted(held):
            if freed >= too_much or (since is not None and used >= since):
                break
            with contextlib.suppress(TimeoutError), self._locked(kind, folder.name, 0), explained(self.root):
                if last_used(folder / MANIFEST) == used:  # nobody has used it meanwhile
                    remove(folder)
                    removed, freed = removed + 1, freed + size
        return removed, freed

    @property
    def limit(self) -> int | None:
        """How many bytes it may have after a run, if its owner has said so."""
        try:
            limit = json.loads(read_bytes(self.root / MARK, LARGEST_MARK)).get("limit")
        except (OSError, UnfitFileError, ValueError, AttributeError):
            return None
        return limit if type(limit) is int and limit >= 0 else None

    def set_limit(self, most: int | None) -> None:
        """Say how many bytes it may have after a run; without a number, as many as it gets.

        Raises:
            InputError: See :meth:`check_mark`.
        """
        self.check_mark()
        with explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            write_text(self.root / MARK, json.dumps(FORMAT | ({} if most is None else {"limit": most})) + "\n")

    def check_mark(self) -> None:
        """Refuse a folder that is not a store, because what is in it must not be removed; an empty one will do.

        Raises:
            InputError: The folder holds something and is not marked as a store.
        """
        with explained(self.root):
            entries = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        strange = [name for name in entries - {MEMORY, LOCKS} if not name.startswith(NEW_FILE)]
        if strange and MARK not in entries:
            message = (
                f"is not marked as a store of faceexp (it has no {MARK}), so nothing was removed; "
                "name a store, or remove the folder yourself"
            )
            raise InputError(Problem(message, str(self.root)))

    def clear(self) -> None:
        """Remove every artefact and what killed processes have left, and nothing else.

        Whatever lies beside the artefacts was not put there by a store, and stays. So does what another process is
        making at this moment, and work of its that grows.

        Raises:
            InputError: See :meth:`check_mark`.
        """
        self.check_mark()
        for kind, folder in list(self._artefacts()):
            self.forget(kind, folder.name)
        self.remove_leftovers()
        forget_uses(self.root)
        with contextlib.suppress(OSError):
            (self.root / MEMORY).unlink()

    def forget(self, kind: str, key: str) -> None:
        """Remove an artefact, if it is there and no other process holds it for longer than moments."""
        path = self._path(kind, key)
        with contextlib.suppress(TimeoutError), self._locked(kind, path.name, PATIENCE), explained(self.root):
            remove(path)

    def remove_leftovers(self) -> None:
        """Remove what processes left half written when they were killed."""
        for folder in self._leftovers():
            shutil.rmtree(folder, ignore_errors=True)
        remove_abandoned(self.root.glob(f"{NEW_FILE}*"))

    def _artefacts(self) -> Iterator[tuple[str, Path]]:
        """Yield kind and folder of every artefact: a folder with the name of a key and a manifest of its kind."""
        for kind, folder in self._folders():
            if KEY.fullmatch(folder.name) and kind_in(folder / MANIFEST) == kind:
                yield kind, folder

    def _leftovers(self) -> Iterator[Path]:
        """Yield every folder that a killed process left half written. Nobody else gets its lock in the meantime."""
        for kind, folder in self._folders():
            draft = DRAFT.fullmatch(folder.name)
            if not draft or not (self.root / MARK).is_file():
                continue
            try:
                lock = self._lock(kind, draft[1])
                lock.acquire(blocking=False)
            except OSError:  # a process that is alive has it; or nothing may be written here, so nothing can be removed
                continue
            try:
                if folder.is_dir():
                    yield folder
            finally:
                lock.release()

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Yield the kind and the path of every folder where artefacts may be. A link may lead out of the store."""
        with explained(self.root):
            for kind in folders_in(self.root):
                for folder in folders_in(kind):
                    yield kind.name, folder

    def _note(self, kind: str, name: str) -> None:
        """Write down that the experiment has used an artefact."""
        if self.experiment and (kind, name) not in self._noted:
            self._noted.add((kind, name))
            note_use(self.root, self.experiment, kind, name)

    def _mark(self) -> None:
        """Mark the folder as a store, so that clearing it is known to be safe."""
        if not (self.root / MARK).is_file():
            write_text(self.root / MARK, json.dumps(FORMAT) + "\n")

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:32]

    def _lock(self, kind: str, name: str) -> BaseFileLock:
        import filelock

        locks = self.root / LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(locks / f"{kind}-{name}.lock")

    @contextlib.contextmanager
    def _locked(
        self, kind: str, name: str, seconds: float = -1, on_wait: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Let nobody else in; wait for whoever is in, for so many seconds at most.

        Args:
            kind: The kind of artefact.
            name: Its name.
            seconds: How long to wait; for ever if it is negative.
            on_wait: Is called before this process waits.

        Raises:
            TimeoutError: The time is over.
        """
        with explained(self.root, lambda error: not isinstance(error, TimeoutError)):
            lock = self._lock(kind, name)
            try:
                lock.acquire(blocking=False)
            except TimeoutError:
                on_wait()
                lock.acquire(timeout=seconds)
        try:
            yield
        finally:
            lock.release()
