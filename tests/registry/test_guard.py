"""What code of plugins does to the process is not felt outside: printing, settings of the process, exits."""

from __future__ import annotations

import ctypes
import gc
import locale
import os
import random
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from faceexp.registry.guard import PluginFaultError, ask, undisturbed


@pytest.fixture(autouse=True)
def interruptible():
    """A shell that starts a program in the background switches Ctrl-C off for it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def python(source: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(source)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize(
    "printing",
    [
        "print('inside')",
        "print('inside', file=sys.__stdout__)",
        "sys.stdout.write('inside')",
        "os.write(1, b'inside')",
        "os.system('echo inside')",
        "ctypes.CDLL(None).printf(b'inside')",
        "sys.stdout.close(); os.write(1, b'inside')",
        "sys.stdout = sys.__stdout__; print('inside')",
        "sys.stdout = None; os.write(1, b'inside')",
    ],
)
def test_what_is_printed_goes_to_standard_error(printing):
    done = python(
        f"""
        import ctypes, os, sys
        from faceexp.registry.guard import undisturbed
        print("before")
        with undisturbed():
            {printing}
        print("after")
        """
    )
    assert (done.returncode, done.stdout) == (0, "before\nafter\n"), done.stderr
    assert done.stderr.strip() == "inside"


def test_what_is_printed_without_standard_error_is_lost():
    done = python(
        """
        from faceexp.registry.guard import undisturbed
        with undisturbed():
            print("inside")
        print("after")
        """,
        preexec_fn=lambda: os.close(2),
    )
    assert (done.returncode, done.stdout) == (0, "after\n")


def test_a_stream_that_was_remembered_inside_can_be_written_to_later(capfd):
    with undisturbed():
        remembered = sys.stdout
    print("later", file=remembered, flush=True)
    assert capfd.readouterr() == ("", "later\n")


def folder_of_its_own(tmp_path):
    os.chdir(tmp_path)


def mask():
    rights = os.umask(0)
    os.umask(rights)
    return rights


CHANGES = {
    "current folder": (os.getcwd, folder_of_its_own),
    "a new variable": (lambda: dict(os.environ), lambda _: os.environ.update(FACEEXP_TEST="1")),
    "a variable removed": (lambda: dict(os.environ), lambda _: os.environ.pop("PATH")),
    "search path": (lambda: list(sys.path), lambda folder: sys.path.insert(0, str(folder))),
    "search path exchanged": (lambda: (id(sys.path), list(sys.path)), lambda _: setattr(sys, "path", [])),
    "warning filters": (lambda: list(warnings.filters), lambda _: warnings.simplefilter("ignore")),
    "handler": (lambda: signal.getsignal(signal.SIGINT), lambda _: signal.signal(signal.SIGINT, signal.SIG_IGN)),
    "timer": (lambda: signal.getitimer(signal.ITIMER_REAL)[1], lambda _: signal.setitimer(signal.ITIMER_REAL, 99, 1)),
    "Python's random numbers": (random.getstate, lambda _: random.seed(3)),
    "NumPy's random numbers": (lambda: str(np.random.get_state()), lambda _: np.random.seed(3)),  # noqa: NPY002
    "arithmetic": (np.geterr, lambda _: np.seterr(all="raise")),
    "printing of arrays": (np.get_printoptions, lambda _: np.set_printoptions(precision=1)),
    "locale": (lambda: locale.setlocale(locale.LC_ALL), lambda _: locale.setlocale(locale.LC_NUMERIC, other_locale())),
    "recursion limit": (sys.getrecursionlimit, lambda _: sys.setrecursionlimit(9_999)),
    "hook": (lambda: sys.excepthook, lambda _: setattr(sys, "excepthook", print)),
    "rights of new files": (mask, lambda _: os.umask(0o777)),
    "garbage collection": (gc.isenabled, lambda _: gc.disable()),
    "standard error": (lambda: sys.stderr, lambda _: setattr(sys, "stderr", None)),
    "standard input": (lambda: sys.stdin, lambda _: setattr(sys, "stdin", None)),
}


def other_locale() -> str:
    return "C" if locale.setlocale(locale.LC_NUMERIC) != "C" else "C.UTF-8"


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("name", CHANGES)
def test_settings_of_the_process_are_put_back(name, raises, tmp_path):
    read, change = CHANGES[name]
    before = read()

    def code():
        change(tmp_path)
        assert read() != before
        if raises:
            raise RuntimeError

    if raises:
        with pytest.raises(RuntimeError), undisturbed():
            code()
    else:
        with undisturbed():
            code()
    assert read() == before


def test_compiled_code_sees_the_environment_that_was_put_back():
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    with undisturbed():
        os.environ["FACEEXP_TEST"] = "1"
    assert getenv(b"FACEEXP_TEST") is None


def test_a_current_folder_that_is_gone_is_no_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with undisturbed():
        os.chdir(tmp_path)
    os.chdir(tmp_path)


def test_one_inside_another_changes_nothing(capfd):
    with undisturbed():
        with undisturbed():
            print("inner")
        print("outer")
    print("outside")
    assert capfd.readouterr() == ("outside\n", "inner\nouter\n")


# One call


def test_a_call_returns_what_the_code_returns():
    assert ask(lambda: 3) == 3


class UnreadableError(Exception):
    """An error of a plugin that cannot even be read."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (KeyError("name"), "KeyError: 'name'"),
        (SystemExit(0), "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (UnreadableError(), "UnreadableError: (its message cannot be read)"),
    ],
)
def test_whatever_a_call_raises_is_its_fault(raised, text):
    def call():
        raise raised

    with pytest.raises(PluginFaultError) as caught:
        ask(call)
    assert str(caught.value) == text


def test_an_interruption_by_the_user_is_nobodys_fault():
    with pytest.raises(KeyboardInterrupt):
        ask(lambda: os.kill(os.getpid(), signal.SIGINT))


def test_a_signal_of_the_whole_program_is_nobodys_fault():
    def end(number, frame):
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(SystemExit):
            ask(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
