"""The charts of the page: what they show, and that Plotly takes them."""

from __future__ import annotations

import itertools
import types

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy.stats import norm

from faceexp.evaluation.catalogue import ACCURACY, COLUMNS, METRIC_OF
from faceexp.report.columns import rows_of
from faceexp.report.page import figures_of_rows, figures_of_trials
from faceexp.results.evidence import DiagnosticsRecord
from faceexp.results.record import CalibrationRecord

PHASE_1 = "phase-1 embedding"


def test_plotly_accepts_every_figure(text, data_of):
    data = data_of(text)
    figures = [*data["forest"].values(), data["roc"], data["det"]]
    figures += [row[name] for row in data["chosen"] for name in ("histogram", "training", "map") if row.get(name)]
    assert len(figures) == len(COLUMNS) + 2 + 4 + 3 + 4
    for figure in figures:
        go.Figure(figure)
    with pytest.raises(ValueError, match="Invalid property"):
        go.Figure({"data": [{"type": "scatter", "colour": "red"}]})


def test_the_forest_has_means_and_intervals_of_each_row(study, accuracies):
    figure = figures_of_rows.forest(rows_of(study), ACCURACY)
    marks = {}
    for trace in figure["data"]:
        for x, y, half in zip(trace["x"], trace["y"], trace["error_x"]["array"], strict=True):
            marks[figure["layout"]["yaxis"]["ticktext"][y]] = (x, half)
    assert "&lt;/script&gt;" in next(iter(marks.keys() - {"twin", "weak", PHASE_1}))
    values = np.array(accuracies["twin"]) * 100
    half = 3.182446 * values.std(ddof=1) / 2  # t(0.975, 3) from tables, times s over the root of four
    assert marks["twin"] == pytest.approx((values.mean(), half), rel=1e-4)
    assert len(marks) == 4


@pytest.mark.parametrize(("key", "place"), [("accuracy", 50.0), ("auc", 0.5), ("eer", 50.0), ("tar@far=0.01", 1.0)])
def test_the_forest_has_a_line_at_guessing_inside_its_axis(study, key, place):
    layout = figures_of_rows.forest(rows_of(study), METRIC_OF[key])["layout"]
    low, high = layout["xaxis"]["range"]
    assert place in [shape["x0"] for shape in layout["shapes"]]
    assert low < place < high
    assert [word["text"] for word in layout["annotations"]] == ["guessing"]


def test_a_metric_whose_value_for_guessing_depends_on_the_data_has_no_such_line(study):
    layout = figures_of_rows.forest(rows_of(study), METRIC_OF["map_at_r"])["layout"]
    assert len(layout["shapes"]) == 1
    assert "annotations" not in layout


def test_curves_are_averaged_at_equal_false_accept_rates():
    step = ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.4, 0.4, 1.0, 1.0])
    line = ([0.0, 1.0], [0.0, 1.0])
    mean = dict(zip(figures_of_rows.FAR.tolist(), figures_of_rows.average([step, line]), strict=True))
    assert mean[0.0] == pytest.approx((0.4 + 0.0) / 2)  # at a rise, its upper end
    assert mean[0.25] == pytest.approx((0.4 + 0.25) / 2)
    assert mean[0.5] == pytest.approx((1.0 + 0.5) / 2)
    assert mean[1.0] == 1.0
    sloped = ([0.0, 0.2, 0.2, 1.0], [0.1, 0.2, 0.5, 1.0])
    alone = dict(zip(figures_of_rows.FAR.tolist(), figures_of_rows.average([sloped]), strict=True))
    assert alone[0.1] == pytest.approx(0.15)
    assert alone[0.75] == pytest.approx(0.84375)


def test_det_axes_are_normal_deviates():
    rates = np.array([0.001, 0.2, 0.5, 0.977])
    np.testing.assert_allclose(figures_of_rows.deviates(rates), norm.ppf(rates), rtol=1e-9)
    assert np.isfinite(figures_of_rows.deviates(np.array([0.0, 1.0]))).all()
    # Of normally distributed distances, here two deviations apart, the DET is a straight line of slope -1.
    curve = figures_of_rows.Curve(
        "x", figures_of_rows.Style("#000000", ""), norm.cdf(norm.ppf(figures_of_rows.FAR) + 2), True
    )
    figure = figures_of_rows.det([curve])
    x, y = (np.array(figure["data"][0][axis])[1:-1] for axis in "xy")
    np.testing.assert_allclose(x + y, -2, atol=1e-3)
    ticks = figure["layout"]["xaxis"]
    assert ticks["ticktext"][:6] == ["0.1", "1", "5", "10", "20", "40"]
    np.testing.assert_allclose(ticks["tickvals"], norm.ppf(np.array(ticks["ticktext"], float) / 100), rtol=1e-4)


def test_reliability_is_how_often_a_probability_came_true():
    """Against a loop over pairs, each of them at the middle of its bin."""
    edges = (0.0, 1.0, 2.0, 3.0, 4.0)
    diagnostics = DiagnosticsRecord(edges=edges, similar=(6, 3, 1, 0), different=(0, 10, 30, 60))
    calibration = CalibrationRecord(threshold=2.0, slope=-2.0, intercept=4.0)
    figure, error = figures_of_trials.reliability([(diagnostics, calibration)])
    given, true, weight = [], [], []
    for place, middle in enumerate((0.5, 1.5, 2.5, 3.5)):
        shares = diagnostics.similar[place] / 10, diagnostics.different[place] / 100
        given.append(1 / (1 + np.exp(-(4.0 - 2.0 * middle))))
        true.append(shares[0] / sum(shares))
        weight.append(sum(shares))
    curve = figure["data"][1]
    assert curve["x"] == pytest.approx(sorted(np.array(given) * 100), rel=1e-3)
    assert curve["y"] == pytest.approx(np.array(true)[np.argsort(given)] * 100, rel=1e-3)
    assert error == pytest.approx(np.average(np.abs(np.array(given) - true), weights=weight))
    go.Figure(figure)
    # Two trials that say the same are no other curve.
    again, same = figures_of_trials.reliability([(diagnostics, calibration)] * 2)
    assert again["data"][1]["y"] == curve["y"]
    assert same == pytest.approx(error)


def test_the_histogram_shows_shares_of_each_kind():
    diagnostics = DiagnosticsRecord(edges=(0.0, 1.0, 2.0, 3.0), similar=(3, 1, 0), different=(0, 10, 30))
    figure = figures_of_trials.histogram(diagnostics, 1.25, "cosine")
    similar, different, threshold = figure["data"]
    assert similar["y"] == [0, 75.0, 25.0, 0.0, 0]
    assert different["y"] == [0, 0.0, 25.0, 75.0, 0]
    assert similar["x"] == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert figure["layout"]["shapes"][0]["x0"] == 1.25
    assert threshold["name"] == "threshold 1.25", "in the legend nothing covers it"


def test_training_marks_the_kept_step_of_each_trial(study):
    of_twin = [trial for trial in study.trials if trial.label == "twin"]
    figure = figures_of_trials.training(of_twin, "AUC")
    assert figure["layout"]["yaxis2"]["title"]["text"] == "validation AUC"
    *lines, kept = figure["data"]
    assert len(lines) == 2 * len(of_twin)
    assert kept["x"] == [20] * 4
    assert kept["y"] == [0.9] * 4
    assert {line["yaxis"] for line in lines} == {"y", "y2"}


def test_the_map_has_every_point_under_its_name(made_diagnostics):
    points = made_diagnostics(0).map
    figure = figures_of_trials.projection(points)
    assert [len(trace["x"]) for trace in figure["data"]] == [6, 6, 6, 6]
    assert figure["data"][1]["name"] == "person 1"
    assert sorted(x for trace in figure["data"] for x in trace["x"]) == pytest.approx(sorted(points.x), rel=1e-3)


def test_rows_are_drawn_in_ways_that_differ():
    many = [types.SimpleNamespace(kind="loss")] * 42 + [types.SimpleNamespace(kind="baseline")] * 4
    styles = figures_of_rows.styles(many)
    assert len(set(styles)) == 46
    for one, other in itertools.pairwise(styles[:42]):
        assert one.colour != other.colour
        assert one.dash != other.dash
