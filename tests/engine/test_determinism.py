"""Operations without a deterministic form: the run goes on, says so once, and marks what was trained without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import faceexp
from faceexp.contract import Distance, LossContext, LossPlugin
from faceexp.engine import backend, determinism
from faceexp.engine.backend import begin, compiled, tensorflow
from faceexp.engine.determinism import refusal
from faceexp.engine.training import train
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.report.formats import markdown
from faceexp.serving.export import export_model
from faceexp.store import Store
from faceexp.values import Event, Noted

MODULE = "losses_without_a_deterministic_form"
# What TensorFlow 2.21 says of operations without a deterministic form, as it stands in its library.
SAID = (
    "A deterministic GPU implementation of AdjustContrastv2 is not currently available.",
    "A deterministic GPU implementation of DepthwiseConvBackpropFilter is not available with this version of cuDNN. "
    "Please build with cuDNN version 7.6.3 or later.",
    "Determinism is not yet supported in GPU implementation of Bincount.",
    "Determinism is not yet supported for MaxPoolGradWithArgmax.",
    "Deterministic GPU implementation of unsorted segment reduction op not available.",
    "GPU MaxPool gradient ops do not yet have a deterministic XLA implementation.",
    "HLO instruction %scatter does not have a deterministic implementation, but run-to-run determinism is required.",
    "The GPU implementation of SparseSoftmaxCrossEntropyWithLogits that would have been executed is not deterministic. "
    "Note that the Python API uses an alternative, deterministic, GPU-accelerated path when determinsim is enabled.",
)
PLUGIN = f'''\
"""Losses of the tests, in a module that processes can import."""

from typing import ClassVar

from faceexp.contract import LossPlugin


class Plain(LossPlugin):
    """Needs nothing."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"

    def build(self, ctx):
        import tensorflow as tf

        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings - 1.0))


class Needy(LossPlugin):
    """Is refused where operations are to be deterministic, as if one of it had no such form; else it is as the other."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"

    def build(self, ctx):
        import tensorflow as tf
        from tensorflow.python.framework import config

        def loss(labels, embeddings):
            if config.is_op_determinism_enabled():
                raise tf.errors.UnimplementedError(None, None, {SAID[0]!r} + "\\n\\t [[{{{{node AdjustContrastv2}}}}]]")
            return tf.reduce_mean(tf.square(embeddings - 1.0))

        return loss


class Broken(LossPlugin):
    """Uses an operation that does not exist for its types, which has nothing to do with determinism."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"

    def build(self, ctx):
        import tensorflow as tf

        def loss(labels, embeddings):
            raise tf.errors.UnimplementedError(None, None, "Cast string to float is not supported")

        return loss
'''


@pytest.fixture(scope="module")
def losses(tmp_path_factory, with_losses):
    """Three losses that processes can import."""
    with with_losses(tmp_path_factory.mktemp("plugin"), MODULE, PLUGIN, "Plain", "Needy", "Broken"):
        yield


@pytest.fixture
def study(tmp_path, small_spec, face_folder, losses):
    file = tmp_path / "x.toml"
    file.write_text(small_spec("refused", face_folder, "plain", "needy", "broken"), encoding="utf-8")
    return faceexp.load(file)


def is_enabled() -> bool:
    """Return what TensorFlow itself says; there is no public way to ask it."""
    from tensorflow.python.framework import config

    return bool(config.is_op_determinism_enabled())


def notes_of(heard: list[Event]) -> list[str]:
    return [event.note.text for event in heard if isinstance(event, Noted) and event.note.kind == "nondeterministic"]


@pytest.mark.parametrize("jobs", [None, 1], ids=["in this process", "in a worker"])
def test_a_refused_loss_is_trained_all_the_same_and_marked(study, tmp_path, jobs) -> None:
    heard: list[Event] = []
    run = study.run(tmp_path / "runs", store=tmp_path / "store", on_event=heard.append, jobs=jobs)
    by_label = {
        label: [trial for trial in run.trials if trial.label == label] for label in ("plain", "needy", "broken")
    }
    assert [len(trials) for trials in by_label.values()] == [2, 2, 2]
    assert {trial.label for trial in run.trials if trial.nondeterministic} == {"needy"}
    assert all(trial.status == "ok" for trial in by_label["needy"])
    # It is the same loss as the plain one, so on a processor, where nothing needs it, the numbers are the same as well.
    for left, right in zip(by_label["plain"], by_label["needy"], strict=True):
        assert left.metrics == right.metrics
    # Another reason fails its own trials alone, with its message.
    assert {trial.status for trial in by_label["broken"]} == {"failed"}
    assert all("Cast string to float is not supported" in str(trial.reason) for trial in by_label["broken"])

    assert notes_of(heard) == [
        "row 'needy': TensorFlow has no deterministic form of an operation (A deterministic GPU implementation of "
        "AdjustContrastv2 is not currently available); trials that need it are trained without, and marked as not "
        "bit-identical"
    ]
    (warning,) = [text for text in run.results.warnings if "deterministic" in text]
    assert warning.startswith("row 'needy': TensorFlow has no deterministic form of an operation on the device")
    assert "not bit-identical from run to run" in warning
    for name in ("needy-s0-f0", "plain-s0-f0"):
        file = json.loads((run.folder / "trials" / f"{name}.json").read_text(encoding="utf-8"))
        assert file["nondeterministic"] is name.startswith("needy")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "not bit-identical from run to run" in page
    assert "not bit-identical from run to run" in markdown(run.results)
    export_model(run.folder, tmp_path / "exported", ["keras"])
    card = (tmp_path / "exported" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "not bit-identical from run to run" in card
    # The finding is what it would be without the mark.
    claims = {claim.label: (claim.difference, claim.verdict) for claim in run.results.verdict.helps}
    assert claims["needy"] == claims["plain"]
    assert is_enabled() == backend.is_deterministic() is True

    # What is in the store is marked there, and nothing is said of what is not trained.
    heard.clear()
    again = study.run(tmp_path / "runs", store=tmp_path / "store", on_event=heard.append, jobs=jobs)
    assert {trial.label for trial in again.trials if trial.nondeterministic} == {"needy"}
    assert all("finetune" in trial.reused for trial in again.trials if trial.label == "needy")
    assert notes_of(heard) == []


class Refused(LossPlugin):
    """A loss with weights, so that it can classify, which is refused as the one above."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx: LossContext):
        import tensorflow as tf

        class Proxies(tf.keras.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.proxies = self.add_weight(shape=(ctx.num_classes, ctx.embedding_dim), name="proxies")

            def call(self, labels, embeddings):  # type: ignore[override]  # a loss takes labels first
                if is_enabled():
                    raise tf.errors.UnimplementedError(None, None, SAID[0])
                logits = embeddings @ tf.transpose(self.proxies)
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        return Proxies()


class Fine(LossPlugin):
    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx: LossContext):
        tf = tensorflow()
        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings - 1.0))


def test_what_starts_from_a_marked_phase_1_is_marked(planned, tmp_path) -> None:
    rest = {"classifier": Refused(), "baselines": ("phase1", "untrained", "pixels")}
    plan = planned(tmp_path / "data", {"mine": Fine()}, seeds=(0, 1), **rest)
    heard: list[Event] = []
    done = list(train(plan, Store(tmp_path / "store"), ValidationAuc(), heard.append))
    assert [each.status for each in done] == ["ok"] * len(plan.trials)
    assert {each.trial.label for each in done if each.nondeterministic} == {"mine", "phase-1 embedding"}
    assert len(notes_of(heard)) == 1
    assert "rows 'phase-1 embedding', 'mine'" in notes_of(heard)[0] or "'mine', 'phase-1" in notes_of(heard)[0]


@pytest.mark.parametrize("said", SAID)
def test_refusals_are_known_by_what_tensorflow_says(said) -> None:
    tf = tensorflow()
    error = tf.errors.UnimplementedError(None, None, f"{{{{function_node f}}}} {said}\n\t [[{{{{node x}}}}]] [Op:f]")
    assert said.rstrip(".")[:100] in refusal(error)
    assert refusal(tf.errors.InvalidArgumentError(None, None, said)) == refusal(ValueError(said)) == ""
    try:
        raise RuntimeError("something around it") from error
    except RuntimeError as around:
        assert refusal(around) == refusal(error)


@pytest.fixture
def nondeterministic():
    begin("auto", deterministic=False)
    yield
    begin("auto")


def test_where_nothing_has_to_be_deterministic_nothing_is_a_refusal(nondeterministic, tmp_path) -> None:
    assert refusal(tensorflow().errors.UnimplementedError(None, None, SAID[0])) == ""
    determinism.mark(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [determinism.MARK]


def test_without_that_nothing_is_marked(tmp_path) -> None:
    determinism.mark(tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


def pooled() -> Any:
    """Return the gradient of a pooling under XLA, of which TensorFlow has no deterministic form on any device."""
    tf = tensorflow()

    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = tf.reduce_sum(tf.nn.max_pool2d(images, 2, 2, "VALID") ** 2)
        return tape.gradient(value, images)

    return compiled(gradient, xla=True)(tf.reshape(tf.range(16.0), (1, 4, 4, 1)))


def test_a_true_refusal_of_tensorflow_is_known() -> None:
    with pytest.raises(tensorflow().errors.UnimplementedError) as raised:
        pooled()
    assert refusal(raised.value).endswith("MaxPool gradient ops do not yet have a deterministic XLA implementation")


def test_the_same_operation_runs_where_nothing_has_to_be_deterministic(nondeterministic) -> None:
    images = np.arange(16.0).reshape(4, 4)
    expected = np.where((images % 2 == 1) & (images // 4 % 2 == 1), 2 * images, 0.0)  # the largest of each window
    np.testing.assert_allclose(np.reshape(pooled(), (4, 4)), expected)
