"""What the hardening tests share: how much of each they do, a tiny experiment, and its numbers when nothing happens.

The normal suite does the short form of everything. ``FACEEXP_HARDENING=full``, which ``nox -s hardening`` sets, does the
full one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import faceexp

# What a run takes depends on the machine, and what it finds in the store depends on what was done before.
NOT_OF_THE_RESULT = ("seconds", "reused")
# Seconds after which something that should have happened counts as never happening. Nothing takes nearly as long.
FOR_EVER = 300.0


@dataclass(frozen=True)
class Form:
    """How much is done."""

    name: str
    stories: int  # runs that are killed three times each before they may end
    damages: int  # of files of the store, and as many of those of a run
    images: int
    sizes: tuple[int, ...]  # kilobytes of the disks that become full
    stride: int  # every how many-th of the plugins that misbehave, and of the images that are shown to a model
    rounds: int  # in which two runs meet
    trials: int  # of one engine


FORMS = {
    "short": Form("short", 1, 10, 60, (), 6, 1, 8),
    "full": Form("full", 10, 150, 150, (40, 120, 300, 600), 1, 3, 300),
}


@pytest.fixture(scope="session")
def form() -> Form:
    """How much is done: the full form if ``FACEEXP_HARDENING`` is ``full``, else the short one."""
    return FORMS["full" if os.environ.get("FACEEXP_HARDENING") == "full" else "short"]


@pytest.fixture(scope="session")
def spec(small_spec, face_folder, tmp_path_factory) -> Callable[..., Path]:
    """Write the tiny experiment with replacements: ``spec(("seeds = [0, 1]", "seeds = [0]"))`` is its path."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = small_spec("hardening", face_folder, "npairs", "supcon") + '[keep]\nmodels = "all"\n'
        for old, new in replacements:
            assert text.count(old) == 1
            text = text.replace(old, new)
        file = tmp_path_factory.mktemp("spec") / "x.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def numbers() -> Callable[[Path], dict[str, Any]]:
    """``numbers(folder)``: everything that a run in a folder has computed, to the last digit."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(inner) for key, inner in value.items() if key not in NOT_OF_THE_RESULT}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    def read(folder: Path) -> dict[str, Any]:
        (results,) = folder.rglob("results.json")
        files = [results, *sorted(results.parent.glob("trials/*.json"))]
        return {file.name: without(json.loads(file.read_text(encoding="utf-8"))) for file in files}

    return read


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing has happened to: its folder, its store and its numbers."""

    runs: Path
    store: Path
    numbers: dict[str, Any]

    @property
    def folder(self) -> Path:
        return next(self.runs.iterdir())


@pytest.fixture(scope="session")
def undisturbed(spec, numbers, tmp_path_factory) -> Callable[..., Undisturbed]:
    """``undisturbed(jobs)``: the experiment as it is computed when nothing happens, with so many processes or none."""
    done: dict[int | None, Undisturbed] = {}

    def compute(jobs: int | None = None) -> Undisturbed:
        if jobs not in done:
            root = tmp_path_factory.mktemp("undisturbed")
            faceexp.load(spec()).run(root / "runs", store=root / "store", jobs=jobs)
            done[jobs] = Undisturbed(root / "runs", root / "store", numbers(root / "runs"))
        return done[jobs]

    return compute


@dataclass(frozen=True)
class Command:
    """A command that was begun in a session of its own, with files for what it says."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def wait(self) -> int:
        return self.process.wait(FOR_EVER)

    def send(self, number: signal.Signals, process: int | None = None) -> None:
        """Send a signal to it, or to one of its processes; one that has ended already needs none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process or self.process.pid, number)

    def processes(self) -> list[int]:
        alive = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it has ended meanwhile
                continue
            if int(session) == self.process.pid and state != "Z":
                alive.append(int(entry.name))
        return alive

    def workers(self) -> list[int]:
        """Return the processes that train; another one keeps account of what they share."""
        lines = {number: Path(f"/proc/{number}/cmdline") for number in self.processes() if number != self.process.pid}
        return [number for number, line in lines.items() if line.exists() and b"spawn_main" in line.read_bytes()]

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def begin(tmp_path) -> Iterator[Callable[..., Command]]:
    """Begin a command of faceexp in processes of its own: ``begin("run", spec)``."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the processes of a command are found in /proc")
    begun: list[Command] = []

    def start(*arguments: object) -> Command:
        output, errors = (tmp_path / f"{name}-{len(begun)}" for name in ("output", "errors"))
        with output.open("wb") as standard_output, errors.open("wb") as standard_error:
            process = subprocess.Popen(
                [sys.executable, "-m", "faceexp", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=standard_output,
                stderr=standard_error,
                start_new_session=True,
            )
        begun.append(Command(process, output, errors))
        return begun[-1]

    yield start
    for command in begun:
        for number in command.processes():
            command.send(signal.SIGKILL, number)
        command.process.wait()


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], bool]:
    """``until(is_so)``: wait until something is so, and return whether it ever was."""

    def wait(is_so: Callable[[], object]) -> bool:
        deadline = time.monotonic() + FOR_EVER
        while time.monotonic() < deadline:
            if is_so():
                return True
            time.sleep(0.005)
        return False

    return wait


@pytest.fixture(scope="session")
def chance() -> Callable[..., random.Random]:
    """``chance("kills", 3)``: random numbers that are the same in every session, so that what fails is found again."""
    return lambda *parts: random.Random(" ".join(map(str, parts)))  # noqa: S311 - not for secrets


@pytest.fixture
def tell(request) -> Callable[[str, object], None]:
    """``tell("kills", 30)``: a figure that is shown when all tests have ended."""
    return lambda name, value: request.node.user_properties.append((name, str(value)))


def pytest_terminal_summary(terminalreporter) -> None:
    """Show the figures of all tests; a worker of pytest-xdist hands them on with its reports."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    figures = dict(
        figure for report in reports if getattr(report, "when", "") == "call" for figure in report.user_properties
    )
    if figures:
        terminalreporter.section("hardening")
        for name, value in sorted(figures.items()):
            terminalreporter.write_line(f"{name}: {value}")
