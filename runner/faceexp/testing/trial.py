"""A loss on trial: built once, and evaluated in every way in which training may run it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from faceexp.contract import BatchNeeds, LossContext, LossPlugin
from faceexp.testing.plugin import Array, PluginKey, assert_same

# Small, and the same for almost every check: what is compiled for one serves the others.
DIM = 8
PEOPLE = 4
IMAGES = 4
# How often a loss that draws random numbers is evaluated where its mean counts, and how many standard errors two means
# may differ by: of a hundred numbers that are compared, one in ten million goes beyond that by chance.
DRAWS = 200
STANDARD_ERRORS = 6.0


@dataclass(frozen=True)
class Outcome:
    """Value of a loss, its gradient in the embeddings, and those in its trainable weights."""

    value: Any
    gradient: Array
    weights: tuple[Array, ...]


class Trial:
    """A loss, built; every evaluation starts from its initial weights."""

    def __init__(
        self,
        plugin: LossPlugin,
        *,
        num_classes: int | None = None,
        dim: int = DIM,
        seed: int = 0,
        people: int = PEOPLE,
    ) -> None:
        import tensorflow as tf

        self.tf, traits = tf, plugin.traits()
        self.needs: BatchNeeds = traits.needs
        self.ways = ["eager", "graph", "xla"] if traits.xla else ["eager", "graph"]
        self.as_trained = ["eager", self.ways[-1]]
        self.dim = dim
        self.people = max(people, self.needs.classes)
        self.images = 2 * ((max(IMAGES, self.needs.images_per_class) + 1) // 2)
        # As many classes as rows, so that every row may show another identity.
        self.num_classes = num_classes or self.people * self.images
        self.loss = plugin.build(LossContext(self.num_classes, dim, seed))
        if isinstance(self.loss, tf.keras.layers.Layer) and not self.loss.built:
            self.loss(tf.zeros(2, tf.int32), tf.zeros((2, dim)))
        self.variables = list(getattr(self.loss, "weights", []))
        self.trainable = list(getattr(self.loss, "trainable_variables", []))
        self.initial = [variable.numpy() for variable in self.variables]
        # What random numbers of a Keras layer are drawn from; it is no weight, but training sets it anew just the same.
        states = [each for each in getattr(self.loss, "variables", []) if each.name == "seed_generator_state"]
        self._states = [(state, state.numpy()) for state in states]
        # Training compiles a step anew for batches of another size, and then for any size. As a graph the loss sees the
        # shape, under XLA it does not: together they find what depends on it.
        unknown = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.float32)]
        compiled = functools.partial(tf.function, self._value_and_gradients, autograph=False)
        self._run: dict[str, Any] = {
            "eager": self._value_and_gradients,
            "graph": compiled(),
            "xla": compiled(jit_compile=True, input_signature=unknown),
        }

    def ordinary(self, seed: int = 0) -> tuple[Array, Array]:
        """Return labels and embeddings that hold what the loss needs, as a sampler would put them."""
        labels = np.tile(np.arange(self.people, dtype=np.int32), self.images)
        if self.needs.halves == "mixed":
            last = 3 * len(labels) // 4
            labels[last:] = np.roll(labels[last:], 1)
        x = np.random.default_rng(seed).normal(size=(len(labels), self.dim))
        return labels, x.astype(np.float32)

    @property
    def draws(self) -> bool:
        """Whether the loss draws random numbers, from a state that training sets anew."""
        return bool(self._states)

    def mean_outcome(
        self, labels: Array, x: Array, how: str, weights: Sequence[Array] | None = None, *, first: int = 0
    ) -> tuple[Array, Array]:
        """Return value and gradient, one behind the other, on average over random numbers, and their standard errors.

        Args:
            labels: The labels of the batch.
            x: Its embeddings.
            how: See :meth:`__call__`.
            weights: See :meth:`__call__`.
            first: The first seed that is drawn with.
        """
        drawn = []
        for seed in range(first, first + DRAWS):
            outcome = self(labels, x, how, weights, seed=seed)
            drawn.append(np.append(outcome.gradient.ravel(), outcome.value).astype(np.float64))
        return np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1) / np.sqrt(DRAWS)

    def __call__(
        self,
        labels: Array,
        x: Array,
        how: str = "eager",
        weights: Sequence[Array] | None = None,
        *,
        seed: int | None = None,
        dtype: str = "float32",
    ) -> Outcome:
        """Evaluate the loss on a batch: eagerly, as a graph, or under XLA; with its initial weights or with others.

        Its random numbers are those of its first call after it was built, or those of another seed.
        ``dtype`` is the type of the embeddings that it is given, where it is not compiled for XLA.
        """
        for state, first in self._states:
            state.assign(first if seed is None else [seed, 0])
        for variable, value in zip(self.variables, self.initial if weights is None else weights, strict=True):
            variable.assign(value)
        tf = self.tf
        value, gradient, inner = self._run[how](tf.constant(labels, tf.int32), tf.cast(x, dtype))
        return Outcome(value.numpy(), gradient.numpy(), tuple(part.numpy() for part in inner))

    def _value_and_gradients(self, labels: Any, x: Any) -> Any:  # noqa: ANN401 - tensors
        tf = self.tf
        with tf.GradientTape() as tape:
            tape.watch(x)
            given = self.loss(labels, x)
            assert tf.is_tensor(given), f"the loss gives a {type(given).__name__}, not a tensor"
            value = tf.convert_to_tensor(given)
        gradients = tape.gradient(value, [x, *self.trainable])
        assert gradients[0] is not None, "no gradient reaches the embeddings"
        assert all(part is not None for part in gradients), "no gradient reaches one of the loss's own weights"
        gradient, *inner = (tf.convert_to_tensor(part) for part in gradients)
        return value, gradient, inner

    def stray_variables(self) -> list[str]:
        """Return the names of variables that the loss uses and that are no weights of a Keras layer, which it is."""
        loss: Any = self.loss
        weights = loss.variables if isinstance(loss, self.tf.keras.layers.Layer) else []
        own = {variable.value.ref() for variable in weights}
        return [variable.name for variable in self._drawn_anew().variables if variable.ref() not in own]

    def nodes(self) -> list[Any]:
        """Return the operations of its graph, drawn up anew, and those of the functions that it calls."""
        graph = self._drawn_anew().graph.as_graph_def()
        return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]

    def _drawn_anew(self) -> Any:  # noqa: ANN401 - TensorFlow has no types
        """Return the loss as a graph that nobody has drawn up before."""
        tf, (labels, x), loss = self.tf, self.ordinary(), self.loss

        def call(labels: Any, x: Any) -> Any:  # noqa: ANN401 - tensors
            return loss(labels, x)

        return tf.function(call, autograph=False).get_concrete_function(
            tf.constant(labels, tf.int32), tf.constant(x, tf.float32)
        )

    def largest_tensor(self, labels: Array, x: Array) -> tuple[int, tuple[int, ...]]:
        """Return bytes and shape of the largest tensor of the graph for a batch, which is drawn up but not run.

        Tensors whose shape only their values tell are not known here.
        """
        tf = self.tf
        drawn = self._run["graph"].get_concrete_function(tf.constant(labels, tf.int32), tf.constant(x, tf.float32))
        tensors = [tensor for operation in drawn.graph.get_operations() for tensor in operation.outputs]
        sizes = [
            (tensor.shape.num_elements() * tensor.dtype.size, tuple(tensor.shape))
            for tensor in tensors
            if tensor.shape.is_fully_defined()
        ]
        return max(sizes)

    def stays_finite(self, name: str, labels: Array, x: Array, ways: Sequence[str] = ()) -> None:
        """Assert that value and gradients are finite on a batch."""
        for how in ways or self.as_trained:
            outcome = self(labels, x, how)
            assert np.isfinite(outcome.value).all(), f"{name} ({how}): the value is {outcome.value}"
            assert np.isfinite(outcome.gradient).all(), f"{name} ({how}): the gradient is not finite"
            for gradient in outcome.weights:
                assert np.isfinite(gradient).all(), f"{name} ({how}): the gradient of a weight is not finite"


def constants(nodes: Iterable[Any]) -> list[bytes]:
    """Return the constants of a graph: numbers of NumPy and of Python become such. Their order means nothing."""
    return sorted(node.attr["value"].tensor.SerializeToString() for node in nodes if node.op == "Const")


def assert_same_mean(what: str, here: tuple[Array, Array], there: tuple[Array, Array]) -> None:
    """Assert that two means, each with its standard errors, differ by no more than chance explains."""
    apart = np.abs(here[0] - there[0])
    rounding = 1e-4 * max(1.0, float(np.max(np.abs(there[0]))))
    allowed = STANDARD_ERRORS * np.hypot(here[1], there[1]) + rounding
    assert (apart <= allowed).all(), (
        f"{what} differs on average over {DRAWS} draws of random numbers: by {apart.max():.3g}, which is more than "
        f"{STANDARD_ERRORS:g} standard errors"
    )


def shared_trial(plugin: LossPlugin) -> Trial:
    """Return the loss, built and compiled once for all checks of a plugin."""
    return _built_once(PluginKey.of(plugin))


@functools.lru_cache(maxsize=4)
def _built_once(key: PluginKey) -> Trial:
    return Trial(key.plugin)


def variants(plugin: LossPlugin) -> Iterator[tuple[str, LossPlugin]]:
    """Yield, with a name, the loss with one option changed to something extreme that the loss itself allows."""
    cls, options = type(plugin), plugin.model_dump(mode="json", exclude_none=True)
    for name, declared in cls.model_json_schema().get("properties", {}).items():
        for allowed in declared.get("anyOf", [declared]):
            values = [allowed[key] for key in ("minimum", "maximum", "const") if key in allowed]
            values += allowed.get("enum", [False, True] if allowed.get("type") == "boolean" else [])
            for value in values:
                try:
                    variant = cls.from_toml({**options, name: value})
                except ValidationError:
                    continue  # The loss refuses it together with its other options.
                if variant != plugin:
                    yield f"{name} = {value!r}", variant


def switched_on(plugin: LossPlugin) -> Iterator[tuple[str, LossPlugin]]:
    """Yield, with a name, the loss with one option that is 0 set to another number."""
    cls, options = type(plugin), plugin.model_dump(mode="json", exclude_none=True)
    for name, value in options.items():
        if value != 0 or isinstance(value, bool):
            continue
        for number in (1, 0.5, 0.01):
            with suppress(ValidationError):
                yield f"{name} = {number}", cls.from_toml({**options, name: number})
                break


@contextmanager
def memory_growth() -> Iterator[Callable[[], int]]:
    """Watch, every millisecond, how many bytes more the process occupies than at first; gives what tells the most."""
    import resource

    page = resource.getpagesize()
    done = threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])

    def watch() -> None:
        while not done.is_set():
            seen.append(resident())
            time.sleep(0.001)

    first = resident()
    seen = [first]
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: (max(seen) - first) * page
    finally:
        done.set()
        watcher.join()


def assert_memory(plugin: LossPlugin, people: int, limit: int) -> None:
    """Assert that value and gradient of 1024 rows of so many people, D = 128, take no more memory than allowed."""
    trial = Trial(plugin, num_classes=people, dim=128)
    labels = np.tile(np.arange(people, dtype=np.int32), 1024 // people)
    if trial.needs.halves == "mixed":
        labels[768:] = np.roll(labels[768:], 1)
    x = np.random.default_rng(0).normal(size=(1024, 128)).astype(np.float32)
    # A loss that would take the machine's memory is told before it runs: a limit that the system sets would meet
    # every thread of the process, and some end the process when they are refused memory.
    largest, shape = trial.largest_tensor(labels, x)
    told = f"a batch of 1024 makes a tensor of shape {shape}, {largest / 2**20:.0f} MiB, more than"
    assert largest <= limit, f"{told} {limit / 2**20:.0f}"
    with memory_growth() as grown:
        trial(labels, x, "graph")
    assert grown() <= limit, f"a batch of 1024 takes {grown() / 2**20:.0f} MiB, more than {limit / 2**20:.0f}"


def assert_precisions(plugin: LossPlugin) -> None:
    """Assert that embeddings of other precisions have the value and the gradient of the same numbers as float32."""
    import tensorflow as tf

    trial = Trial(plugin, people=32)
    labels, x = trial.ordinary()
    for dtype, rounding in (("float16", 2**-10), ("bfloat16", 2**-7), ("float64", 1e-5)):
        numbers = tf.cast(tf.cast(x, dtype), tf.float32).numpy()
        expected = trial(labels, numbers)
        named = f"of {dtype} embeddings (faceexp.tensors.as_float32 turns them into float32)"
        try:
            given = trial(labels, numbers, dtype=dtype)
        except Exception as error:
            raise AssertionError(f"there is no value {named}: {type(error).__name__}: {error}") from error
        assert given.value.dtype == np.float32, f"the value {named} is {given.value.dtype}, not float32"
        assert_same(f"the value {named}", given.value, expected.value)
        gradient = given.gradient.astype(np.float32)
        assert_same(f"the gradient {named}", gradient, expected.gradient, rtol=2 * rounding, atol=rounding)
