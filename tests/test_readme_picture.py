"""The picture in the README shows what its first command gives now, and not what it gave some time ago."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("readme_picture", ROOT / "tools" / "readme_picture.py")
assert SPEC
assert SPEC.loader
readme_picture = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(readme_picture)


@pytest.fixture(scope="module")
def shown():
    return readme_picture.PICTURE.read_text(encoding="utf-8")


def test_the_picture_shows_what_the_first_command_gives(shown):
    """CI runs that command before the tests."""
    run = readme_picture.newest_run()
    if run is None:
        pytest.skip("the README's first command was not run here")
    fresh = readme_picture.drawn(run)
    assert readme_picture.differences(shown, fresh) == [], "run: python tools/readme_picture.py"


def test_the_picture_has_a_row_for_every_loss_and_a_finding(shown):
    rows = readme_picture._rows(shown)
    losses = tomllib.loads((ROOT / "experiments" / "all_losses.toml").read_text(encoding="utf-8"))["losses"]
    assert len(rows) == len(losses) + 4  # and the baselines
    assert {"phase-1 embedding", "raw pixels", "npairs"} <= rows.keys()
    assert all(low <= mean <= high for row in rows.values() for mean, low, high in row)
    assert readme_picture.differences(shown, shown) == []
    assert "@font-face" not in shown  # a page that shows it would load the font from elsewhere


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (">npairs", ">n_pairs", "the row 'npairs' is not in the picture"),
        (r"accuracy(&#160;| )%", r"precision\1%", "the picture does not show 'loss or baseline ok"),
        (r"[\d,]+(&#160;| )trials", "82 trials", "the picture does not show 'all_losses: open set, "),
        (r"(>npairs.*?>(?:&#160;)*)\d\d\.\d(?=\N{EN DASH})", r"\g<1>99.0", "npairs: the mean is "),
    ],
)
def test_a_picture_of_another_version_is_told(shown, before, after, problem):
    other = re.sub(before, after, shown, count=1, flags=re.DOTALL)
    assert other != shown
    problems = readme_picture.differences(other, shown)
    assert [text for text in problems if text.startswith(problem)]
