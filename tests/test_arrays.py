"""Arrays in files have all of their room before anything is written to them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from faceexp.arrays import SMALL, new_array_file, on_one_core


def blocks_of(path) -> int:
    return int(path.stat().st_blocks) * 512


def test_a_new_array_is_a_file_of_zeros_that_is_written_through(tmp_path):
    array = new_array_file(tmp_path / "x.npy", np.float32, (3, 4))
    assert array.dtype == np.dtype(np.float32)
    assert array.shape == (3, 4)
    assert not array.any()
    array[1] = 5
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[1], [5, 5, 5, 5])


@pytest.mark.parametrize("reason", [None, errno.EOPNOTSUPP, errno.EINVAL])
def test_the_room_is_taken_at_once_with_or_without_help_of_the_system(tmp_path, monkeypatch, reason):
    def refuse(*_):
        raise OSError(reason, "cannot do that")

    if reason is not None:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    array = new_array_file(tmp_path / "x.npy", np.uint8, (3 * 2**20 + 5,))
    assert blocks_of(tmp_path / "x.npy") >= array.nbytes
    assert (np.load(tmp_path / "x.npy") == 0).all()


def test_a_system_without_the_function(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    array = new_array_file(tmp_path / "x.npy", np.uint8, (2**20,))
    assert blocks_of(tmp_path / "x.npy") >= array.nbytes


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        new_array_file(tmp_path / "x.npy", np.uint8, (10,))


def test_an_array_of_no_rows(tmp_path):
    assert new_array_file(tmp_path / "x.npy", np.uint8, (0, 4)).shape == (0, 4)


def cores_of_linear_algebra():
    """Return the numbers of threads of the libraries of linear algebra that are loaded."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize(("numbers", "cores"), [(1, 1), (SMALL, 1), (SMALL + 1, 2)])
def test_products_of_small_arrays_use_one_core(numbers, cores):
    with threadpool_limits(limits=2, user_api="blas"):
        with on_one_core(numbers):
            assert cores_of_linear_algebra() == {cores}
        assert cores_of_linear_algebra() == {2}  # whatever comes next has all of them again


def test_a_library_that_is_loaded_later_uses_one_core_as_well():
    """In a process of its own, where only NumPy's library is loaded at first."""
    script = (
        "import numpy\n"
        "from threadpoolctl import threadpool_info\n"
        "from faceexp.arrays import on_one_core\n"
        "with on_one_core(1):\n"
        "    pass\n"
        "import scipy.linalg\n"
        "with on_one_core(1):\n"
        "    print(*(library['num_threads'] for library in threadpool_info() if library['user_api'] == 'blas'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) == {"1"}


def test_an_error_inside_gives_the_cores_back():
    with threadpool_limits(limits=2, user_api="blas"):
        with pytest.raises(ValueError, match="not a number"), on_one_core(1):
            raise ValueError("not a number")
        assert cores_of_linear_algebra() == {2}
