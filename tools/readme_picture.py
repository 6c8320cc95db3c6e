"""Draw the picture of the README from the run that the README's first command leaves, or check that it still fits it.

``python tools/readme_picture.py`` draws it, after ``faceexp run experiments/all_losses.toml --jobs 2``. The tests call
:func:`differences`, so that the picture cannot show rows, columns or numbers that the present version no longer gives.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from pathlib import Path

import faceexp
from faceexp.report.terminal.run import picture

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "all_losses.svg"
# Beside a mean stand the ends of its interval, as in "83.7 73.9-91.6".
RESULT = re.compile(r"(\d[\d.]*) +(\d[\d.]*)\N{EN DASH}(\d[\d.]*)")


def newest_run() -> Path | None:
    """Return the folder of the newest run of ``experiments/all_losses.toml``, if there is one."""
    files = (ROOT / "runs").glob("all_losses-*/results.json")
    return max((file.parent for file in files), key=lambda folder: folder.stat().st_mtime, default=None)


def drawn(run: Path) -> str:
    """Return the picture of a run, as the text of an SVG file that loads no font from elsewhere."""
    return re.sub(r"@font-face \{.*?\}\s*", "", picture(faceexp.open_run(run).results), flags=re.DOTALL)


def lines_of(svg: str) -> list[str]:
    """Return the lines of text of a picture, from top to bottom."""
    places: defaultdict[float, list[tuple[float, str]]] = defaultdict(list)
    for x, y, text in re.findall(r'<text[^>]*? x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        places[float(y)].append((float(x), html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")))
    # Each stretch of one colour is a text of its own, which has lost the spaces before it.
    return [" ".join(text for _, text in sorted(places[y])).rstrip() for y in sorted(places)]


def differences(shown: str, fresh: str) -> list[str]:
    """Return what a picture shows otherwise than a fresh one, in sentences.

    Other machines round otherwise, and training makes more of that. So a mean need only lie in the interval that the
    picture shows; rows, columns and the number of trials have to be the same.
    """
    rows, fresh_rows = _rows(shown), _rows(fresh)
    problems = [f"the row {label!r} is not in the picture" for label in fresh_rows.keys() - rows.keys()]
    problems += [f"the picture has the row {label!r}, the run does not" for label in rows.keys() - fresh_rows.keys()]
    problems += [f"the picture does not show {line!r}" for line in _headings(fresh) if line not in _headings(shown)]
    for label in rows.keys() & fresh_rows.keys():
        here, there = rows[label], fresh_rows[label]
        if len(here) != len(there):
            problems.append(f"{label}: the picture shows {len(here)} metrics, the run {len(there)}")
        problems += [
            f"{label}: the mean is {mean}, and the picture shows {low} to {high}"
            for (_, low, high), (mean, _, _) in zip(here, there, strict=False)
            if not low <= mean <= high
        ]
    return sorted(problems)


def _rows(svg: str) -> dict[str, list[tuple[float, float, float]]]:
    """Return, by label, each mean with its interval."""
    rows = {}
    for line in lines_of(svg):
        if results := RESULT.findall(line):
            label = re.split(r" {2,}|\s\d+/\d+", line)[0].strip()
            rows[label] = [(float(mean), float(low), float(high)) for mean, low, high in results]
    return rows


def _headings(svg: str) -> list[str]:
    """Return the line above the table, which counts the trials, and the line of headings."""
    lines = lines_of(svg)
    header = next(place for place, line in enumerate(lines) if line.startswith("loss or baseline"))
    return [lines[0], " ".join(lines[header].split())]


def main() -> None:
    """Draw the picture of the newest run."""
    run = newest_run()
    if run is None:
        raise SystemExit("there is no run; first: faceexp run experiments/all_losses.toml --jobs 2")
    PICTURE.write_text(drawn(run), encoding="utf-8")
    print(f"drew {PICTURE} from {run}")


if __name__ == "__main__":
    main()
