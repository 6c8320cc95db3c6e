"""What the tests of all loss plugins share."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from faceexp.contract import LossContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.contract import LossPlugin

# Ids of the oracle records a loss was compared with, and of those it agrees with: by plugin, source and loss there.
COUNTS = pytest.StashKey[dict[tuple[str, str, str], tuple[set[str], set[str]]]]()

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

        batch = tf.constant(labels, tf.int32), tf.constant(x, tf.float32)
        if how != "eager":
            unknown = [tf.TensorSpec([None] * batch[0].ndim, tf.int32), tf.TensorSpec([None, None], tf.float32)]
            signature = unknown if "unknown" in how else None
            both = tf.function(both, jit_compile="xla" in how, input_signature=signature, autograph=False)
        value, gradient = both(*batch)
        assert value.shape == ()
        assert value.dtype == tf.float32
        return float(value), gradient.numpy()

    return value_and_gradient


@pytest.fixture
def agrees(evaluate, request) -> Callable[..., None]:
    """Assert that a loss has the value and the gradient of an oracle record, and count it for the table at the end."""
    plugin = request.path.parent.parent.name
    counts = request.config.stash.setdefault(COUNTS, {})

    def check(loss: Callable[..., Any], labels: np.ndarray, case: dict[str, Any]) -> None:
        checked, passed = counts.setdefault((plugin, case["source"], case["loss"]), (set(), set()))
        checked.add(case["id"])
        value, gradient = evaluate(loss, labels, case["x"])
        np.testing.assert_allclose(value, case["value"], rtol=1e-4, atol=1e-5, err_msg=case["id"])
        np.testing.assert_allclose(gradient, case["grad"], rtol=1e-4, atol=1e-5, err_msg=case["id"])
        passed.add(case["id"])

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print, for each loss, with how many reference values it was compared, and with how many it agrees."""
    counts = config.stash.get(COUNTS, {})
    if not counts:
        return
    records = json.loads((Path(__file__).parents[2] / "tests" / "oracles" / "losses.json").read_text(encoding="utf-8"))
    usable = Counter((record["source"], record["loss"]) for record in records if record["status"] == "ok")
    terminalreporter.section("reference values")
    row = "{:28} {:16} {:34} {:>7} {:>8} {:>7}"
    terminalreporter.line(row.format("plugin", "source", "loss there", "usable", "compared", "passed"))
    for (plugin, *of), (checked, passed) in sorted(counts.items()):
        terminalreporter.line(row.format(plugin, *of, usable[tuple(of)], len(checked), len(passed)))


@pytest.fixture
def with_proxies() -> Callable[..., Any]:
    """A loss whose first weight, its proxies, has given values: ``with_proxies(plugin, proxies, num_classes)``."""

    def build(plugin: LossPlugin, proxies: np.ndarray, num_classes: int) -> Any:
        loss: Any = plugin.build(LossContext(num_classes, proxies.shape[1]))
        loss.trainable_variables[0].assign(proxies)
        return loss

    return build


@pytest.fixture
def agrees_with_pml(oracle_cases, agrees, with_proxies) -> Callable[..., int]:
    """Assert that a loss with proxies agrees with pytorch-metric-learning, and return with how many records."""
    import tensorflow as tf

    def check(plugin: type[LossPlugin], name: str) -> int:
        seen = 0
        for case in oracle_cases(source="pml", loss=name, status="ok"):
            options = {option: value for option, value in case["params"].items() if option != "num_classes"}
            loss = with_proxies(plugin(**options), case["proxies"], case["num_classes"])
            agrees(loss, case["y"], case)
            with tf.GradientTape() as tape:
                value = loss(tf.constant(case["y"], tf.int32), tf.constant(case["x"], tf.float32))
            (gradient,) = tape.gradient(value, loss.trainable_variables)
            np.testing.assert_allclose(gradient, case["proxy_grad"], rtol=1e-4, atol=1e-5, err_msg=case["id"])
            seen += 1
        return seen

    return check


@pytest.fixture
def proxy_batch() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Labels and embeddings of 9 rows, and proxies: ``proxy_batch(classes=5, proxies=5)``; D = 4."""

    def draw(classes: int = 5, proxies: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(3)
        return rng.integers(0, classes, 9), 2 * rng.normal(size=(9, 4)), rng.normal(size=(proxies, 4))

    return draw


@pytest.fixture
def unit() -> Callable[[np.ndarray], np.ndarray]:
    """Rows of a NumPy array, divided by their length."""
    return lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def cross_entropy() -> Callable[[np.ndarray, np.ndarray], float]:
    """Softmax cross entropy in NumPy: ``cross_entropy(labels, logits)``, the mean over rows."""
    return lambda y, logits: np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])


@pytest.fixture
def central_differences() -> Callable[..., np.ndarray]:
    """Gradient of a function of NumPy arrays, one number at a time: ``central_differences(function, x)``."""

    def gradient(function: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
        found = np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            moved = np.zeros(x.shape)
            moved[index] = step
            found[index] = (function(x + moved) - function(x - moved)) / (2 * step)
        return found

    return gradient
