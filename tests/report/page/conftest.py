"""What the tests of the page share: the page of a study, and ways to read a page as a browser would."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Callable

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from faceexp.evaluation.diagnostics import projection
from faceexp.evaluation.metrics import examine
from faceexp.report.page.html import page
from faceexp.results.evidence import DiagnosticsRecord
from faceexp.results.jsonable import to_jsonable
from faceexp.results.schema import EnvironmentRecord, TrialFile

# The smallest picture: one grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6368000000820081774cd5f60000000049454e44ae426082"
)
PLOTLY = get_plotlyjs()


@pytest.fixture(scope="session")
def environment() -> EnvironmentRecord:
    """What a run was made with."""
    return EnvironmentRecord.model_validate(
        {
            "python": "3.11.7",
            "platform": "Linux",
            "processor": "A <fast> one",
            "cores": 2,
            "plugins": [{"kind": "loss", "name": "other", "distribution": "faceexp-loss-other", "version": "0.1"}],
            "packages": {"numpy": "2.0", "keras": "3.15"},
        }
    )


@pytest.fixture(scope="session")
def made_diagnostics(bad_label) -> Callable[[int], DiagnosticsRecord]:
    """``made_diagnostics(seed)``: those of a trial on 24 images of four people, as a run writes them."""

    def make(seed):
        random = np.random.default_rng(seed)
        labels = np.repeat(np.arange(4), 6)
        embeddings = random.normal(size=(4, 8))[labels] * 0.5 + random.normal(size=(24, 8)) * 0.4
        data = to_jsonable(examine(embeddings, labels, 1.5, "euclidean").diagnostics)
        names = [f"person {label}" + (bad_label if label == 0 else "") for label in labels]
        for pair in data["hardest"]:
            images = [pair.pop("first"), pair.pop("second")]
            pair |= {"images": images, "identities": [names[image] for image in images]}
        drawn = projection(embeddings, "euclidean")
        points = {"x": drawn.x, "y": drawn.y, "identity": names, "explained": drawn.explained}
        return DiagnosticsRecord.model_validate(data | {"map": to_jsonable(points)})

    return make


@pytest.fixture(scope="session")
def trials(study, made_diagnostics) -> dict[str, TrialFile]:
    """The files of the trials; only the first seed has a map, as in a run."""
    files = {}
    for trial in study.trials:
        diagnostics = made_diagnostics(trial.seed) if trial.status == "ok" else None
        if diagnostics and trial.seed:
            diagnostics = diagnostics.model_copy(update={"map": None})
        files[trial.id] = TrialFile.model_validate(trial.to_jsonable() | {"evidence": diagnostics})
    return files


@pytest.fixture(scope="session")
def pictures() -> dict[int, bytes]:
    """Pictures that differ, so that the data of each one can be looked for on a page."""
    return {image: PNG + bytes([image]) for image in range(24)}


@pytest.fixture(scope="session")
def text(study, environment, trials, pictures) -> str:
    """The page of the study."""
    return page(study, environment, trials, pictures)


class Reader(html.parser.HTMLParser):
    """Follows tags as a browser would, and complains where a browser would repair."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts, self.tables = [], [], [], []

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)
            if {"td", "th"} & set(self.open):
                self.tables[-1][-1][-1] += data

    @property
    def words(self):
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="session")
def without_plotly() -> Callable[[str], str]:
    """``without_plotly(text)``: a page without the code of Plotly.

    That code is long, and knows addresses that no figure here makes it ask.
    """

    def remove(text):
        assert text.count(PLOTLY) == 1
        return text.replace(PLOTLY, "")

    return remove


@pytest.fixture(scope="session")
def read() -> Callable[[str], Reader]:
    """``read(text)``: what a browser would make of a page or a part of it."""

    def follow(text):
        reader = Reader()
        reader.feed(text.replace(PLOTLY, ""))
        reader.close()
        assert reader.open == []
        return reader

    return follow


@pytest.fixture(scope="session")
def data_of() -> Callable[[str], dict]:
    """``data_of(text)``: what the script of a page reads."""

    def load(text):
        (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
        return json.loads(block)

    return load
