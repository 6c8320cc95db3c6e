"""What the tests of all loss plugins share."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

How = Literal["eager", "graph", "xla", "xla, shape unknown"]


@pytest.fixture
def evaluate() -> Callable[..., tuple[float, np.ndarray]]:
    """Value and gradient of a loss: ``evaluate(loss, labels, x, "eager" | "graph" | "xla" | "xla, shape unknown")``."""
    import tensorflow as tf

    def value_and_gradient(loss: Callable[..., Any], labels: np.ndarray, x: np.ndarray, how: How = "eager"):
        def both(labels, x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(labels, x)
            return value, tf.convert_to_tensor(tape.gradient(value, x))

        labels, x = tf.constant(labels, tf.int32), tf.constant(x, tf.float32)
        if how != "eager":
            unknown = [tf.TensorSpec([None] * labels.ndim, tf.int32), tf.TensorSpec([None, None], tf.float32)]
            signature = unknown if "unknown" in how else None
            both = tf.function(both, jit_compile="xla" in how, input_signature=signature, autograph=False)
        value, gradient = both(labels, x)
        assert value.shape == ()
        assert value.dtype == tf.float32
        return float(value), gradient.numpy()

    return value_and_gradient


@pytest.fixture
def agrees(evaluate) -> Callable[..., None]:
    """Assert that a loss has the value and the gradient of an oracle record."""

    def check(loss: Callable[..., Any], labels: np.ndarray, case: dict[str, Any]) -> None:
        value, gradient = evaluate(loss, labels, case["x"])
        np.testing.assert_allclose(value, case["value"], rtol=1e-4, atol=1e-5, err_msg=case["id"])
        np.testing.assert_allclose(gradient, case["grad"], rtol=1e-4, atol=1e-5, err_msg=case["id"])

    return check


@pytest.fixture
def runs_everywhere(evaluate) -> Callable[..., None]:
    """Assert that a loss gives the same value and gradient run eagerly, as a graph, and under XLA."""

    def check(loss: Callable[..., Any], labels: np.ndarray, x: np.ndarray) -> None:
        value, gradient = evaluate(loss, labels, x)
        for how in ("graph", "xla", "xla, shape unknown"):
            value_here, gradient_here = evaluate(loss, labels, x, how)
            np.testing.assert_allclose(value_here, value, rtol=1e-5, err_msg=how)
            np.testing.assert_allclose(gradient_here, gradient, rtol=1e-4, atol=1e-6, err_msg=how)

    return check


@pytest.fixture
def finite_at_the_edges(evaluate) -> Callable[..., None]:
    """Assert that a loss and its gradient are finite on degenerate batches."""

    def check(loss: Callable[..., Any]) -> None:
        x = np.random.default_rng(0).normal(size=(8, 4))
        batches = {
            "duplicates within identities": ([0, 1, 2, 3, 0, 1, 2, 3], np.tile(x[:4], (2, 1))),
            "duplicates across identities": ([0, 1, 2, 3, 1, 2, 3, 0], np.tile(x[:4], (2, 1))),
            "all rows equal": ([0, 1, 2, 3, 0, 1, 2, 3], np.tile(x[:1], (8, 1))),
            "all rows zero": ([0, 1, 2, 3, 0, 1, 2, 3], np.zeros((8, 4))),
            "one identity": ([0] * 8, x),
            "all identities distinct": (list(range(8)), x),
            "two rows": ([0, 1], x[:2]),
            "large": ([0, 1, 2, 3, 0, 1, 2, 3], 1e4 * x),
        }
        for name, (labels, rows) in batches.items():
            value, gradient = evaluate(loss, np.array(labels), rows)
            assert np.isfinite(value), name
            assert np.isfinite(gradient).all(), name

    return check


@pytest.fixture
def shows_divergence(evaluate) -> Callable[..., None]:
    """Assert that a loss of an embedding that is not a number is not a number either, so that a trial can fail."""

    def check(loss: Callable[..., Any]) -> None:
        x = np.random.default_rng(0).normal(size=(8, 4))
        x[2, 1] = np.nan
        for how in ("eager", "xla"):
            assert np.isnan(evaluate(loss, np.array([0, 1, 2, 3, 0, 1, 3, 2]), x, how)[0]), how

    return check


@pytest.fixture
def imports_without_tensorflow() -> Callable[[str], None]:
    """Assert that a module's import leaves TensorFlow and Keras alone."""

    def check(module: str) -> None:
        code = f"import sys, {module}; sys.exit(bool({{'tensorflow', 'keras'}} & set(sys.modules)))"
        command = [sys.executable, "-c", code]
        assert subprocess.run(command, check=False, timeout=60).returncode == 0  # noqa: S603 - our own code

    return check
