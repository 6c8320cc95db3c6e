"""Standard output and standard error, made so that no command fails because of what they lead to.

A stream may be closed, its reader may have gone, and its encoding may lack letters that a path or a label has.
"""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What Rich, typer and Python take the size of a screen from.
SIZES = ("COLUMNS", "LINES")


class _LastingStream(io.FileIO):
    """A stream that can always be written to: once its reader has gone, what is written goes nowhere."""

    def __init__(self, number: int, error_of: str | None) -> None:
        super().__init__(number, "w", closefd=False)
        self._error_of = error_of

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # From here on, so that what is still in a buffer does no harm when the program ends.
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - it is no path that a user named
                os.dup2(nowhere.fileno(), self.fileno())
            if self._error_of and not isinstance(error, BrokenPipeError):
                raise InputError(Problem(f"cannot be written: {error.strerror}", self._error_of)) from None
            return super().write(data)


def text_stream(number: int, like: TextIO, *, error_of: str | None = None) -> TextIO:
    """Return a text stream that writes to a file descriptor and leaves it open when it is closed.

    Letters that the encoding lacks are written as escape sequences.

    Args:
        number: The file descriptor.
        like: The stream whose encoding and whose habit of passing on what it is given are taken.
        error_of: The name of the stream in the message for the user if it cannot be written to, because a disk is full
            for instance. Without a name such an error is passed over. A reader that has gone is never an error.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_LastingStream(number, error_of)),
        encoding=like.encoding or "utf-8",
        errors="backslashreplace",
        line_buffering=getattr(like, "line_buffering", True),
        write_through=getattr(like, "write_through", False),
    )


def prepare() -> None:
    """Make both streams of the process fit for every command."""
    for size in SIZES:
        # A screen of no columns shows nothing; what is no number at all would end Rich with an error.
        with contextlib.suppress(KeyError):
            text = os.environ[size]
            if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10_000):
                del os.environ[size]
    _open_missing()
    # What a test or a notebook has put in place of a stream stays there.
    output, errors = sys.__stdout__, sys.__stderr__
    if output is not None and sys.stdout is output:
        sys.stdout = _lasting(output, error_of="standard output")
    if errors is not None and sys.stderr is errors:
        sys.stderr = _lasting(errors)


def _open_missing() -> None:
    """Open what is closed: otherwise the next file that is opened, a network perhaps, would be taken for the stream."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so usually the missing one
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
    # Python sets a stream to None if it was closed; its types do not say so.
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _lasting(stream: TextIO, *, error_of: str | None = None) -> TextIO:
    if not stream.isatty():
        with contextlib.suppress(OSError):
            stream.flush()
        return text_stream(stream.fileno(), stream, error_of=error_of)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
