"""A run that is ended at any moment, three times, gives the same numbers as one that nobody has disturbed."""

from __future__ import annotations

import signal
import time

import faceexp

# What a run does, one after the other, and what can be seen of it in the store and in the folder of the run: the folder in
# which an artefact is being made begins with a dot.
MOMENTS = {
    "images are decoded": "store/images/.*",
    "phase 1 trains": "store/pretrain/.*",
    "phase 1 has ended": "store/pretrain/[0-9a-f]*",
    "features are computed": "store/features/.*",
    "phase 2 trains": "store/finetune/.*",
    "a network is written": "store/network/.*/model.keras",
    "an artefact is sealed": "store/finetune/.*/manifest.json",
    "a trial is measured": "store/evaluation/.*",
    "a file of the run is written": "runs/*/trials/.unfinished-*",
    "a model is put into the run": "runs/*/models/*",
}
KILLED, ENDED, INTERRUPTED = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
# Where a signal that asks to end arrives, the exit code is 128 and its number.
CODES = {ENDED: 143, INTERRUPTED: 130}


def story(number, chance):
    """Return three moments in their order, with what happens to whom, and how many seconds later."""
    order = list(MOMENTS)
    moments = sorted({order[(3 * number + step) % len(order)] for step in range(3)}, key=order.index)
    # The worker comes last: when it is killed, the run goes on to its end without that trial.
    whom = ["parent", "parent", "worker"]
    what = [KILLED, (ENDED, INTERRUPTED, KILLED)[number % 3], KILLED]
    waits = [chance("waits", number, step).choice([0.0, 0.0, 0.02, 0.2]) for step in range(3)]
    return zip(moments, whom, what, waits, strict=True)


def test_a_run_that_is_killed_again_and_again_gives_the_same_numbers(
    form, spec, undisturbed, begin, until, chance, numbers, tmp_path, tell
):
    met = 0
    for number in range(form.stories):
        place = tmp_path / str(number)
        jobs = 1 + number % 2 if form.name == "full" else 1
        arguments = ("run", spec(), "--store", place / "store", "--out", place / "runs", "--jobs", jobs)
        for moment, whom, what, seconds in story(number, chance):
            command = begin(*arguments)
            before = set(place.glob(MOMENTS[moment]))

            def happens(command=command, before=before, pattern=MOMENTS[moment], place=place):
                return set(place.glob(pattern)) - before or command.process.poll() is not None

            assert until(happens)
            time.sleep(seconds)
            workers = command.workers()
            is_worker = whom == "worker" and workers
            is_alive = command.process.poll() is None
            command.send(what, workers[0] if is_worker else None)
            code = command.wait()
            told = f"story {number}: {what.name} to the {whom} when {moment}; exit code {code}\n{command.said()}"
            met += is_alive
            # A run may have ended just before.
            if is_worker:
                assert code in (0, 1), told
            else:
                assert code in (0, CODES.get(what, -what)), told
            assert "Traceback" not in command.said(), told
            if code in CODES.values():
                assert "interrupted; finished trials are kept, the same command goes on from there" in command.said()
                assert list(place.glob("store/*/.*")) == [], told
            assert until(lambda command=command: not command.processes()), f"a process outlives the run; {told}"
        if form.name == "full":
            last = begin(*arguments)
            assert last.wait() == 0, f"story {number}: {last.said()}"
        else:  # the same in this process, which has loaded TensorFlow
            faceexp.load(spec()).run(place / "runs", store=place / "store")
        assert numbers(place / "runs") == undisturbed(None if jobs == 1 else jobs).numbers, f"story {number}"
        assert list(place.glob("store/*/.*")) == [], f"story {number}"
    tell("kills", met)
