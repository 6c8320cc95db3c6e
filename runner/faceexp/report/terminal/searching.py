"""How far a search is, in the live display and in a log, and what it is about to try and has chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceexp.report.settings_in_words import score_text, values_text
from faceexp.report.shown import shown
from faceexp.report.words import between, duration, many
from faceexp.search.chances import Chance, Chances
from faceexp.search.events import ROUND, SearchEnds, SearchGoesOn, Standing
from faceexp.values import Event

if TYPE_CHECKING:
    # As in `progress`: Rich is imported where it is used.
    from rich.console import RenderableType

# In a log, so many seconds pass from one line about the search to the next.
EVERY = 30.0
# So many losses are named in such a line, those with the best scores.
NAMED = 4
ALL = "every loss"


@dataclass
class Pace:
    """How fast a search goes, judged by what it has done since its first round here ended.

    The first round is left out, since in it phase 1 is trained and losses are compiled.

    Attributes:
        began: When that round ended, and how many trials had ended by then.
        rounds: How many rounds have ended here.
    """

    began: tuple[float, float] | None = None
    rounds: int = -1

    def end_round(self, now: float, done: float) -> None:
        """Count a round that has ended; the first call says where the search stands when it begins."""
        self.rounds += 1
        if self.rounds == 1:
            self.began = (now, done)

    def left(self, now: float, done: float, total: int) -> float | None:
        """Return about how many seconds are left; ``None`` where that is not known yet."""
        if self.began is None or done <= self.began[1]:
            return 0.0 if done >= total else None
        return (now - self.began[0]) / (done - self.began[1]) * (total - done)


@dataclass
class Searching:
    """A search that goes on: it takes the events, and says how far it is.

    Attributes:
        chances: What it gives every loss.
        done: How many trials have ended, of all losses together.
        standings: How far the search of each loss is.
        of_round: How many trainings of this round have ended, and how many it has.
        pace: How fast it goes.
    """

    chances: Chances
    done: int = 0
    standings: tuple[Standing, ...] = ()
    of_round: tuple[int, int] = (0, 0)
    pace: Pace = field(default_factory=Pace)
    _told: float | None = field(default=None, init=False)
    _is_first: bool = field(default=True, init=False)
    _is_over: bool = field(default=False, init=False)

    @property
    def total(self) -> int:
        """How many trials there are, of all losses together."""
        return self.chances.all_trials

    def on_event(self, event: Event, now: float) -> None:
        """Take an event of the search; others are left alone."""
        if isinstance(event, SearchGoesOn):
            self.done, self.standings, self.of_round = event.done, shown(event.standings), (0, 0)
            self.pace.end_round(now, self.done)
        elif event.stage == ROUND:
            self.of_round = event.done, event.total

    def left(self, now: float) -> float | None:
        """Return about how many seconds the search still takes; ``None`` where that is not known yet."""
        ended, total = self.of_round
        begun = sum(standing.done < self.chances.trials for standing in self.standings)
        return self.pace.left(now, self.done + (begun * ended / total if total else 0), self.total)

    def line(self, now: float) -> str | None:
        """Return a line for a log, if it is time for one: after the first round, now and then, and at the end, once."""
        is_over = self.done >= self.total
        if self._told is None:
            # What is about to begin was just said.
            self._told = now
        if self._is_over or not (is_over or now - self._told >= EVERY or (self._is_first and self.pace.rounds > 0)):
            return None
        self._told, self._is_first, self._is_over = now, False, is_over
        what = "search of phase 1" if self.chances.is_phase1 else "search"
        parts = [f"{what}: {self.done:,} of {many(self.total, 'trial')} done"]
        if self.of_round[0] and not is_over:
            parts.append("{:,} of {:,} trainings of this round".format(*self.of_round))
        if best := self.best(NAMED):
            parts.append(f"best validation scores {best}")
        if not is_over and (left := self.left(now)) is not None:
            parts.append(f"about {duration(left / 60)} left")
        return ", ".join(parts)

    def best(self, most: int) -> str:
        """Return the best scores so far, of so many losses, and how many more there are."""
        scored = self.in_order()
        named = [f"{standing.label} {score_text(standing.best)}" for standing in scored[:most]]
        more = len(scored) - most
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")

    def in_order(self) -> list[Standing]:
        """Return the losses that have a score, the highest first."""
        scored = [standing for standing in self.standings if standing.best is not None]
        return sorted(scored, key=lambda standing: -(standing.best or 0.0))

    def rows(self, most: int) -> Iterator[tuple[str, str]]:
        """Yield a loss and how far its search is, for the live display: at most so many, then how many more."""
        unscored = [standing for standing in self.standings if standing.best is None]
        ordered = [*self.in_order(), *unscored]
        for standing in ordered[:most]:
            best = "" if standing.best is None else f", best validation score {score_text(standing.best)}"
            yield standing.label, f"{standing.done:,}/{self.chances.trials:,}{best}"
        if len(ordered) > most:
            yield f"and {many(len(ordered) - most, 'more loss', 'more losses')}", ""

    def round_text(self) -> str:
        """Return how far the round is."""
        number = min((standing.done for standing in self.standings), default=0) + 1
        place = f"{min(number, self.chances.trials):,} of {self.chances.trials:,}"
        if self.chances.is_phase1:
            return f"trial {place} of trunk and phase 1"
        return f"round {place}, a trial of each loss"

    def round_amount(self) -> str:
        """Return how many trainings of the round have ended; nothing before any."""
        ended, total = self.of_round
        return f"{ended:,}/{total:,} trainings" if total else ""


def chances_sentence(chances: Chances) -> str:
    """Return in one sentence what every loss gets, before anything trains."""
    losses, trainings = len(chances.losses), f"{chances.trainings:,} trainings"
    of_each = f"{many(chances.trials, 'trial')} x {many(chances.seeds, 'seed')} x {many(chances.folds, 'fold')}"
    most = " at most, since trials may end early" if chances.prunes else ""
    if chances.is_phase1:
        return (
            f"The trunk and phase 1, which all losses share, are searched first: {of_each} = {trainings} of phase 1"
            f"{most}, judged by its embedding on validation people."
        )
    steps = between([each.steps for each in chances.losses])
    images = between([each.images for each in chances.losses])
    whom = f"each of the {losses:,} losses gets the same:" if losses > 1 else "the loss gets"
    all_of_them = f"; {chances.all_trainings:,} trainings in all" if losses > 1 else ""
    return (
        f"Settings are searched for on validation people: {whom} {of_each} = {trainings}{most}, each of {steps} steps "
        f"and {images} images{all_of_them}."
    )


def chances_table(chances: Chances) -> RenderableType:
    """Return what is tried of each loss; settings that all losses share stand in one row."""
    from faceexp.report.terminal.tables import cells, plain_table

    chances = shown(chances)
    table = plain_table()
    table.add_column("loss", overflow="fold", min_width=10)
    table.add_column("setting", overflow="fold")
    table.add_column("what is tried", overflow="fold")
    shared = _shared(chances.losses)
    rows = [(ALL, chances.losses[0], shared)] if shared else []
    rows += [(loss.label, loss, [name for name in loss.ranges if name not in shared]) for loss in chances.losses]
    for label, loss, names in rows:
        for place, name in enumerate(names):
            suggested = " (suggested)" if name in loss.suggested else ""
            table.add_row(*cells("" if place else label, name, loss.ranges[name] + suggested))
    return table


def _shared(losses: Sequence[Chance]) -> list[str]:
    """Return the settings that are tried of all losses alike."""
    if len(losses) < 2:
        return []
    return [
        name
        for name, words in losses[0].ranges.items()
        if all(
            loss.ranges.get(name) == words and (name in loss.suggested) == (name in losses[0].suggested)
            for loss in losses
        )
    ]


def chosen_table(event: SearchEnds) -> RenderableType:
    """Return what a search has chosen of each loss, before the comparison begins."""
    from faceexp.report.terminal.tables import cells, plain_table

    table = plain_table()
    table.add_column("loss", overflow="fold", min_width=10)
    table.add_column("chosen on validation people", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("defaults", justify="right", no_wrap=True)
    for searched in shown(event.searched):
        best, default = searched.best, searched.default
        words = values_text(best.values) if best else "the defaults, since no trial ended well"
        scores = (score_text(each.score if each else None) for each in (best, default))
        table.add_row(*cells(searched.space.label, words, *scores))
    return table
