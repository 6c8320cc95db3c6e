"""Why a trial failed, in words that a person understands."""

from __future__ import annotations

from faceexp.engine.pretrain import DivergedError
from faceexp.errors import plain
from faceexp.values import Status

# Letters of a reason: messages of TensorFlow may be as long as a book.
LONGEST = 500


def explained(error: BaseException) -> tuple[Status, str]:
    """Return the status of a trial that an error has ended, and the reason in words."""
    cause = cause_of(error)
    reason = plain(_text(cause))
    if isinstance(cause, DivergedError):
        return "diverged", reason
    hint = "; if XLA cannot compile the loss, the plugin has to declare xla = False" if "XLA" in reason else ""
    name = type(cause).__name__
    return "failed", f"{name}: {reason[:LONGEST]}{hint}" if reason else f"{name} was raised without a message"


def cause_of(error: BaseException) -> BaseException:
    """Return the exception that a plugin raised.

    Where AutoGraph is at work, TensorFlow wraps it in one whose message describes TensorFlow's own source code.
    """
    while _text(error).startswith("in user code:") and error.__context__:
        error = error.__context__
    return error


def _text(error: BaseException) -> str:
    """Return the message of an error, whose class may be a plugin's own."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - see above
        return "its message cannot be read"
