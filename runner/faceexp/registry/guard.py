"""Code of plugins runs in a process that also does other work: what it prints and what it changes must not reach that.

:func:`undisturbed` sends what is printed to standard error, where it cannot spoil a document on standard output, and
puts back at the end what belongs to the whole process. :func:`ask` does the same for one call, and turns whatever the
call raises into a :class:`PluginFaultError`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, NamedTuple, TextIO, TypeVar

T = TypeVar("T")
# Signals that mean the whole program, whichever code runs when one arrives.
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Those that programs handle; to ask for all takes a millisecond each time.
_OTHERS = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGQUIT", "SIGWINCH")
_HANDLED = [*_STOPPING, *(getattr(signal, name) for name in _OTHERS if hasattr(signal, name))]


class PluginFaultError(Exception):
    """Code of a plugin has raised something; its text says what, on one line."""

    def __init__(self, error: BaseException) -> None:
        try:
            text = " ".join(str(error).split())
        except Exception:  # noqa: BLE001 - it is the plugin's own class
            text = "(its message cannot be read)"
        super().__init__(f"{type(error).__name__}: {text}" if text else type(error).__name__)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run code of a plugin so that nothing of it is felt outside.

    Inside, everything that is printed goes to standard error, from Python and from compiled code. At the end these are
    as they were: the standard streams, the current folder, environment variables, ``sys.path``, warning filters, signal
    handlers and timers, the random numbers of Python and of NumPy, NumPy's reactions to errors in arithmetic and its
    way to print, the locale, the recursion limit, ``sys.excepthook``, the rights of new files (``umask``), and whether
    garbage is collected.

    The state of random numbers is put back as well: what is drawn inside is drawn again by whoever draws afterwards.
    Threads that run meanwhile share the standard streams, so they print to standard error, too.
    """
    saved = [(setting, setting.read()) for setting in _SETTINGS]
    with ExitStack() as stack:
        # Called last, when the streams are in place again.
        stack.callback(_put_back, saved)
        stack.enter_context(warnings.catch_warnings())
        numpy = _numpy()
        if numpy:
            stack.enter_context(numpy.errstate())
            stack.enter_context(numpy.printoptions())
        stack.enter_context(_printed_to_standard_error())
        yield


def ask(call: Callable[[], T]) -> T:
    """Return what a call of a plugin's code returns; it is :func:`undisturbed`.

    Raises:
        PluginFaultError: The call has raised anything, be it ``SystemExit`` or a ``KeyboardInterrupt`` that nobody has
            caused. What a signal raises that really has arrived passes.
    """
    arrived: list[int] = []
    with undisturbed(), _signals_noted(arrived):
        try:
            return call()
        except BaseException as error:
            if arrived:
                raise
            raise PluginFaultError(error) from error


def process_settings() -> dict[str, object]:
    """Return, by name, what :func:`undisturbed` puts back, as it is now."""
    settings = {setting.name: setting.read() for setting in _SETTINGS}
    streams = {"standard output": sys.stdout, "standard error": sys.stderr}
    numpy = _numpy()
    errors = numpy.geterr() if numpy else None
    return settings | streams | {"the warning filters": list(warnings.filters), "np.seterr": errors}


class _Setting(NamedTuple):
    """Something of the whole process that can be read and written."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _put_back(saved: list[tuple[_Setting, Any]]) -> None:
    for setting, value in saved:
        # What cannot be put back, a folder that is gone for instance, must not hide what the code has raised.
        with suppress(OSError, ValueError, locale.Error):
            if setting.read() != value:
                setting.write(value)


def _in_main_thread() -> bool:
    """Say whether handlers of signals may be set: Python allows it in one thread only."""
    return threading.current_thread() is threading.main_thread()


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - it is compared and given back, nothing else
    except OSError:  # the folder was removed
        return None


def _enter(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _set_environment(variables: dict[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _set_search_path(path: tuple[list[str], list[str]]) -> None:
    sys.path, sys.path[:] = path[0], path[1]


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _HANDLED}


def _set_handlers(handlers: dict[int, Any]) -> None:
    if _in_main_thread():
        for number, handler in handlers.items():
            # None stands for a handler that was not set from Python; Python cannot set it either.
            if handler is not None:
                signal.signal(number, handler)


def _rights() -> int:
    # The system tells them only to who sets them.
    rights = os.umask(0o077)
    os.umask(rights)
    return rights


def _running_timers() -> list[bool]:
    return [signal.getitimer(which)[0] > 0 for which in _TIMERS]


def _stop_timers(running: list[bool]) -> None:
    for which, before in zip(_TIMERS, running, strict=True):
        if not before:
            signal.setitimer(which, 0)


def _numpy() -> Any:  # noqa: ANN401 - a module
    """Return NumPy if it is imported; to import it here would cost every short command a fifth of a second."""
    return sys.modules.get("numpy")


def _numpy_state() -> tuple[Any, ...] | None:
    numpy = _numpy()
    if numpy is None:
        return None
    name, keys, *rest = numpy.random.get_state()
    return (name, keys.tobytes(), *rest)


def _set_numpy_state(state: tuple[Any, ...] | None) -> None:
    numpy = _numpy()
    if state is None:
        # The code was the first to import it, so nobody knows another state than one by chance.
        numpy.random.seed(None)
        numpy.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
    else:
        name, keys, *rest = state
        numpy.random.set_state((name, numpy.frombuffer(keys, numpy.uint32), *rest))


_TIMERS = [signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF] if hasattr(signal, "setitimer") else []
_SETTINGS = (
    _Setting("the current folder", _folder, _enter),
    _Setting("the environment", lambda: dict(os.environ), _set_environment),
    _Setting("sys.path", lambda: (sys.path, list(sys.path)), _set_search_path),
    _Setting("timers", _running_timers, _stop_timers),
    _Setting("the handlers of signals", _handlers, _set_handlers),
    _Setting("Python's random numbers", random.getstate, random.setstate),
    _Setting("NumPy's random numbers", _numpy_state, _set_numpy_state),
    _Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)),
    _Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Setting("sys.excepthook", lambda: sys.excepthook, lambda hook: setattr(sys, "excepthook", hook)),
    _Setting("the rights of new files", _rights, os.umask),
    _Setting("garbage collection", gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
)


@contextmanager
def _printed_to_standard_error() -> Iterator[None]:
    """Send to standard error what Python and compiled code print to standard output; put the streams back."""
    streams = sys.stdin, sys.stdout, sys.stderr
    _flush(sys.stdout)
    try:
        standard_output = os.dup(1)
    except OSError:  # it is closed, so nothing can be written to it
        standard_output = None
    # A stream of its own, never closed: code that remembers it may write later, and closing it closes no other stream.
    printed = open(  # noqa: SIM115
        _standard_error(), "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    try:
        if standard_output is not None:
            os.dup2(printed.fileno(), 1)
        sys.stdout = printed
        yield
    finally:
        # What is still waiting to be written belongs to the code that has ended now.
        for stream in {id(stream): stream for stream in (printed, sys.stdout, sys.__stdout__)}.values():
            _flush(stream)
        sys.stdin, sys.stdout, sys.stderr = streams
        if standard_output is not None:
            os.dup2(standard_output, 1)
            os.close(standard_output)


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):
        if stream is not None:
            stream.flush()
    with suppress(OSError):
        _flush_compiled()(None)


@functools.cache
def _flush_compiled() -> Callable[[None], object]:
    """Return C's ``fflush``: compiled code collects what it prints until there is much of it."""
    try:
        return ctypes.CDLL(None).fflush
    except (OSError, TypeError, AttributeError):  # not every system gives it by this way
        return lambda _: None


def _standard_error() -> int:
    """Return the number of standard error; that of a file which takes everything where there is none."""
    # Python says so where a process began without it; any other file may have its number then.
    if sys.__stderr__ is not None:
        with suppress(OSError):
            os.fstat(2)
            return 2
    return _nowhere()


@functools.cache
def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


@contextmanager
def _signals_noted(arrived: list[int]) -> Iterator[None]:
    """Write down which signals arrive that mean the whole program; what their handlers do stays the same."""
    if not _in_main_thread():
        yield
        return
    handlers = {number: handler for number in _STOPPING if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> Any:  # noqa: ANN401 - a handler's own
        arrived.append(number)
        return handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, note)
    # The handlers themselves are put back by `undisturbed`, around this.
    yield
