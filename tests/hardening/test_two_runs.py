"""Runs that share a store and a folder, and one that clears the store meanwhile: nobody gets other numbers."""

from __future__ import annotations


def test_two_runs_at_once_give_the_same_numbers(form, spec, undisturbed, begin, until, numbers, tmp_path):
    for number in range(form.rounds):
        place = tmp_path / str(number)
        arguments = ("run", spec(), "--store", place / "store", "--out", place / "runs")
        first, second = begin(*arguments), begin(*arguments)
        cleared = None
        if number % 2 or form.name == "short":
            # As soon as there is something to clear, and while both go on.
            assert until(lambda: list(place.glob("store/finetune/*")) or first.process.poll() is not None)
            cleared = begin("cache", "--clear", "--store", place / "store")
        for command in filter(None, (first, second, cleared)):
            assert command.wait() == 0, f"round {number}: {command.said()}"
            assert "Traceback" not in command.said()
        assert numbers(place / "runs") == undisturbed().numbers, f"round {number}"
        assert not list(place.glob("store/*/.*")), "nothing half done is left"
