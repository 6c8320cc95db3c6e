"""The process of one tracker: ``python -m faceexp.running.recorder``.

It reads one message a line from standard input, and answers each with one line on standard output: an empty text where
all went well, and else the reason. The first message says which plugin it is and which run begins. What the tracker
itself prints goes nowhere.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from pydantic import TypeAdapter

from faceexp.contract import TrackedEnd, TrackedRun, TrackedTrial, Tracker, TrackerPlugin
from faceexp.errors import InputError
from faceexp.registry.guard import PluginFaultError
from faceexp.registry.installed import InstalledPlugin

# How long it works on when nothing more can come.
SECONDS_AFTER_THE_LAST = 15.0
# What may be told, by the name of its message.
TOLD: dict[str, type] = {"run": TrackedRun, "trial": TrackedTrial, "end": TrackedEnd}


def message(kind: str, value: object, **beside: object) -> str:
    """Return a line that tells something; see :data:`TOLD`."""
    adapter: TypeAdapter[Any] = TypeAdapter(TOLD[kind])
    return json.dumps({"kind": kind, kind: adapter.dump_python(value, mode="json"), **beside}) + "\n"


def serve(lines: Iterator[str], answer: Callable[[str], object]) -> None:
    """Open a tracker and tell it everything, until there are no more lines.

    Args:
        lines: Messages, as :func:`message` writes them.
        answer: Is called once for each with the reason why it was not recorded, empty where it was.
    """
    with contextlib.ExitStack() as opened:
        trackers: list[Tracker] = []

        def begin() -> None:
            given = json.loads(next(lines))
            cls = cast("type[TrackerPlugin]", InstalledPlugin(**given["plugin"]).load())
            trackers.append(cls.from_toml(given["options"]).open(_read(given)))

        reason = _reason(begin)
        answer(reason)
        for tracker in trackers:
            # Nobody is told what it raises when it is closed: all that was said before is recorded.
            opened.callback(_reason, tracker.close)
            for line in lines:
                answer(_reason(functools.partial(_tell, tracker, line)))


def _tell(tracker: Tracker, line: str) -> None:
    value = _read(json.loads(line))
    if isinstance(value, TrackedTrial):
        tracker.trial_ended(value)
    if isinstance(value, TrackedEnd):
        tracker.run_ended(value)


def _read(told: dict[str, Any]) -> Any:  # noqa: ANN401 - one of TOLD
    return TypeAdapter(TOLD[told["kind"]]).validate_json(json.dumps(told[told["kind"]]))


def _reason(call: Callable[[], object]) -> str:
    """Return why a call of a plugin's code has failed; an empty text where it has not."""
    try:
        call()
    except InputError as error:
        return "; ".join(str(problem) for problem in error.problems)
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, be it SystemExit
        return str(PluginFaultError(error))
    return ""


def main() -> None:
    """Serve the process that has started this one."""
    # The thread that reads lives as long as this process, and so does what it reads.
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)

        def answer(reason: str) -> None:
            answers.write(json.dumps(reason) + "\n")
            answers.flush()

        serve(_ending(lines), answer)


def _ending(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; some seconds after the last one, this process ends, whatever the tracker does then.

    Whoever has started it may have been killed, so that nobody ends a tracker that hangs.
    """
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in lines:
            waiting.put(line)
        faulthandler.dump_traceback_later(SECONDS_AFTER_THE_LAST, exit=True)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while line := waiting.get():
        yield line


if __name__ == "__main__":
    main()
