"""Being asked to end: by Ctrl-C, by a scheduler, or because the terminal is closed."""

import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import typer

# What asks a program to end, beside Ctrl-C, which Python itself turns into a KeyboardInterrupt.
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class EndedError(KeyboardInterrupt):
    """A signal asks the program to end. It is handled like Ctrl-C, so that nothing half written is left."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a program that was asked to end: 128 and the number of the signal."""
    return 128 + (error.number if isinstance(error, EndedError) else signal.SIGINT)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Let signals that ask the program to end raise :class:`EndedError` inside this context."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler of signals is called with these
        raise EndedError(number)

    # What whoever started the program has switched off, as nohup does, stays off.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that says that it was interrupted, and exits with the code for that."""

    @functools.wraps(command)
    def interrupted(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as error:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(exit_code(error)) from None

    return interrupted
