"""Runs that share a store and a folder, and one that clears the store meanwhile: nobody gets other numbers."""

from __future__ import annotations

import shutil


def test_two_runs_at_once_give_the_same_numbers(form, spec, undisturbed, begin, until, numbers, tmp_path, tell):
    for number in range(form.rounds):
        place = tmp_path / str(number)
        if form.name == "short":  # what is trained is there, so that nobody has to load TensorFlow
            shutil.copytree(undisturbed().store, place / "store", ignore=shutil.ignore_patterns("evaluation"))
        arguments = ("run", spec(), "--store", place / "store", "--out", place / "runs")
        commands = [begin(*arguments), begin(*arguments)]
        if number % 2:
            # As soon as there is something to clear, and while both go on.
            until_made(place, commands[0], until)
            commands.append(begin("cache", "--clear", "--store", place / "store"))
        for command in commands:
            # What is removed under a run is made again.
            assert command.wait() == 0, f"round {number}: {command.said()}"
            assert "Traceback" not in command.said()
        assert numbers(place / "runs") == undisturbed().numbers, f"round {number}"
        assert not list(place.glob("store/*/.*")), "nothing half done is left"
    tell("rounds of two runs at once", form.rounds)


def until_made(place, command, until):
    """Wait until there is a trained network, or the run has ended."""
    assert until(lambda: list(place.glob("store/finetune/*")) or command.process.poll() is not None)
