"""Pairs whose distances lie in a file give the same numbers, to the last digit, as those in memory."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest

from faceexp.evaluation import calibration, diagnostics, likely, roc, verification
from faceexp.evaluation import pairs as pairs_module
from faceexp.evaluation.calibration import calibrated
from faceexp.evaluation.measured_pairs import PairDistances, PairsOnDisk, map_in_threads, room_on_disk
from faceexp.evaluation.metrics import examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of


def embedded(images: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of people with so many images each, two of which are alike."""
    random = np.random.default_rng(len(images))
    labels = np.repeat(np.arange(len(images)), images)
    rows = random.normal(size=(len(images), 6))[labels] + random.normal(size=(len(labels), 6))
    rows[1] = rows[0]
    return rows.astype(np.float32), labels


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep distances as float32, as those of very many pairs are, and look at few of them at a time."""
    monkeypatch.setattr(pairs_module, "_FLOAT64_PAIRS", 0)
    for module in (calibration, likely, roc, verification):
        monkeypatch.setattr(module, "CHUNK", 50)
    monkeypatch.setattr(diagnostics, "BLOCK", 70)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    "images", [(4,) * 8, (2, 3, 7, 4, 1, 9), (5,), (1, 1, 1)], ids=["even", "uneven", "one", "lone"]
)
def test_a_file_gives_the_numbers_that_memory_gives(monkeypatch, images, distance):
    rows, labels = embedded(images)

    def judged():
        found = examine(rows, labels, 2.0, distance, None, [1.0, 0.5], weights="people")
        measured = pair_distances(rows, labels, distance).person_averaged(labels)
        return type(measured), repr((found, dataclasses.asdict(calibrated(measured, people_of(labels)))))

    kind, in_memory = judged()
    monkeypatch.setattr(pairs_module, "_PAIRS_IN_MEMORY", 0)
    other_kind, in_file = judged()
    assert (kind, other_kind) == (PairDistances, PairsOnDisk)
    assert in_file == in_memory


@pytest.mark.usefixtures("float32")
def test_all_distances_can_be_read(monkeypatch):
    rows, labels = embedded((3, 2, 4))
    expected = pair_distances(rows, labels, "euclidean")
    monkeypatch.setattr(pairs_module, "_PAIRS_IN_MEMORY", 0)
    found = pair_distances(rows, labels, "euclidean")
    assert len(found) == len(expected) == 36
    np.testing.assert_array_equal(found.distance, expected.distance)
    np.testing.assert_array_equal(found.similar, expected.similar)
    assert found.distance[0] == 0, "two images are alike"
    assert found.similar[0]


@pytest.mark.parametrize("function", ["os.posix_fallocate", "tempfile.TemporaryFile"])
def test_where_there_is_no_room_in_a_file_they_stay_in_memory(monkeypatch, function):
    rows, labels = embedded((3, 2, 4))
    monkeypatch.setattr(pairs_module, "_PAIRS_IN_MEMORY", 0)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(function, full)
    assert isinstance(pair_distances(rows, labels, "euclidean"), PairDistances)


def test_the_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pairs = room_on_disk(10)
    assert pairs is not None
    pairs.file.append(np.ones(10), np.ones(10, bool))
    assert list(tmp_path.iterdir()) == []
    assert pairs.similar.all()


def test_a_file_that_ends_too_early_is_noticed():
    pairs = room_on_disk(10)
    assert pairs is not None
    pairs = dataclasses.replace(pairs, count=11)
    with pytest.raises(OSError, match="ends too early"):
        list(pairs.chunks(4))


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_threads_keep_the_order_and_take_few_items_at_a_time(count):
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(count):
            taken.append(number)
            yield number

    results = []
    for result in map_in_threads(lambda number: 2 * number, items()):
        results.append(result)
        assert len(taken) <= len(results) + 9
    assert results == [2 * number for number in range(count)]
