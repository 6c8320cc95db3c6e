"""A disk that becomes full at any moment ends a run with one line; with room, the same command gives the same numbers."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

import faceexp

KILOBYTE = 1024
ENOUGH = "256m"


@pytest.fixture
def disk(tmp_path):
    """``disk(size, inodes)``: an empty disk of its own, which :func:`enlarge` makes larger."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if not mount or not unmount or os.getuid():
        pytest.skip("small disks are mounted, which needs root")
    mounted: list[Path] = []

    def make(options):
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"small disks cannot be mounted here: {done.stderr.decode().strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run([unmount, place], check=True)


def enlarge(place):
    options = f"remount,size={ENOUGH},nr_inodes=0"
    subprocess.run(["mount", "-o", options, place], check=True)


def is_refused(command):
    """Check that a command ended with one line that names the trouble, and neither by a signal nor by a traceback."""
    code, said = command.wait(), command.said()
    assert code == 2, f"exit code {code}\n{said}"
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert "No space left on device" in last or "full" in last or "File too large" in last, said


def disks(form):
    """Yield what becomes full, and the options of its disk."""
    for number, size in enumerate(form.sizes):
        yield ("store", "runs")[number % 2], f"size={size}k"
    yield "store", "size=64m,nr_inodes=40"
    yield "runs", "size=64m,nr_inodes=12"


def test_a_full_disk_ends_a_run_and_room_lets_it_go_on(
    form, spec, undisturbed, begin, numbers, tmp_path, tell, request
):
    """A disk that is large enough is no failure: how much a run needs is not what is asked here."""
    if form.name == "short":
        pytest.skip("the full form fills disks")
    disk, refused = request.getfixturevalue("disk"), 0
    for number, (full, options) in enumerate(disks(form)):
        place = disk(options)
        other = tmp_path / f"other-{number}"
        places = {"store": other / "store", "runs": other / "runs"} | {full: place / full}
        arguments = ("run", spec(), "--store", places["store"], "--out", places["runs"])
        command = begin(*arguments)
        if command.wait() != 0:
            refused += 1
            is_refused(command)
            assert not list(places["store"].glob("*/.*")), "half an artefact takes the room that is missing"
            enlarge(place)
            assert begin(*arguments).wait() == 0
        assert numbers(places["runs"]) == undisturbed().numbers, f"{full} on a disk of {options}"
    tell("full disks", refused)
    assert refused


def test_files_that_may_not_grow_are_as_a_full_disk(spec, undisturbed, begin, numbers, tmp_path):
    """The limit of the system for a file (``ulimit -f``) needs no root; a network of the experiment has 40 kilobytes."""
    arguments = ("run", spec(), "--store", tmp_path / "store", "--out", tmp_path / "runs")
    limit = 12 * KILOBYTE
    command = begin(*arguments)
    resource.prlimit(command.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    is_refused(command)
    faceexp.load(spec()).run(tmp_path / "runs", store=tmp_path / "store")
    assert numbers(tmp_path / "runs") == undisturbed().numbers
