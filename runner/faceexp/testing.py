"""Conformance suites for plugin authors: subclass one, give it a plugin, and pytest runs every check.

>>> class TestMyLoss(LossContract):
...     @pytest.fixture
...     def plugin(self):
...         return MyLoss(margin=0.5)

Each check is a test method; its docstring says what it demands. A plugin that cannot keep one names it, with a reason:

>>> class TestMyLoss(LossContract):
...     skips = {"test_order_of_rows_does_not_matter": "anchors are the rows of even number"}

This module needs pytest (``pip install "faceexp[testing]"``); nothing else of faceexp imports it.
"""

from __future__ import annotations

import functools
import inspect
import json
import random
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import tomli_w

from faceexp.arrays import IntArray
from faceexp.contract import (
    RESERVED,
    BatchNeeds,
    BatchSupply,
    DatasetPlugin,
    Distance,
    FaceData,
    LossContext,
    LossPlugin,
    LossTraits,
    ModelPlugin,
    Plugin,
    SamplerPlugin,
)

Array = np.ndarray[Any, np.dtype[Any]]

# Small, and the same for almost every check: what is compiled for one serves the others.
_DIM = 8
_PEOPLE = 4
_IMAGES = 4

# Run in a Python of its own; a module that cannot be found by name, a test's own for instance, is loaded from its file.
_IMPORT = """
import importlib, importlib.util, json, sys
sys.path[:], name, file = json.loads(sys.argv[1])
try:
    found = importlib.util.find_spec(name) or file is None
except ImportError:
    found = file is None
if found:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(json.dumps(sorted({"tensorflow", "keras"} & set(sys.modules))))
"""


class PluginContract:
    """What plugins of every kind have to keep; subclass the suite of a kind instead.

    Class variables:
        skips: Checks that the plugin cannot keep, by name of the method, each with the reason that pytest shows.
    """

    skips: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Refuse to skip what is no check: it would be a check that silently runs."""
        unknown = sorted(name for name in cls.skips if not (name.startswith("test_") and hasattr(cls, name)))
        if unknown:
            raise TypeError(f"{cls.__name__}.skips names {unknown[0]!r}, which is no check of this suite")

    @pytest.fixture(autouse=True)
    def _skip(self, request: pytest.FixtureRequest) -> None:
        reason = self.skips.get(request.function.__name__)
        if reason is not None:
            pytest.skip(reason)

    @pytest.fixture
    def plugin(self) -> Any:  # noqa: ANN401 - the kind's own class
        """Return the plugin under test."""
        raise NotImplementedError("give your suite a fixture `plugin`")

    def test_importing_it_leaves_tensorflow_alone(self, plugin: Plugin) -> None:
        """Import the plugin's module in a fresh Python: neither TensorFlow nor Keras may come along."""
        module = type(plugin).__module__
        try:
            file = inspect.getsourcefile(type(plugin))
        except (OSError, TypeError):
            file = None
        heavy = _imported_by(module, file)
        assert not heavy, f"importing {module} imports {' and '.join(heavy)}; import them inside build"

    def test_options_survive_a_toml_file(self, plugin: Plugin) -> None:
        """Write the options as TOML and read them back: the plugin must be the same."""
        # TOML has no null; an option that is None must be None when it is left out.
        text = tomli_w.dumps(plugin.model_dump(mode="json", exclude_none=True))
        again = type(plugin).from_toml(tomllib.loads(text))
        assert again == plugin, f"became {again!r} by way of\n{text}"

    def test_option_names_are_free(self, plugin: Plugin) -> None:
        """Find no option that has the name of one of an experiment file's own keys."""
        taken = (RESERVED if isinstance(plugin, LossPlugin) else {"plugin"}) & set(type(plugin).model_fields)
        assert not taken, f"experiment files use {', '.join(sorted(taken))} themselves"

    def test_options_are_documented(self, plugin: Plugin) -> None:
        """Find a description and a unit at every option, as ``option(...)`` asks for them."""
        for name, declared in type(plugin).model_fields.items():
            assert (declared.description or "").strip(), f"the option {name} has no description"
            extra = declared.json_schema_extra
            assert isinstance(extra, dict), f"the option {name} has no unit"
            assert extra.get("unit"), f"the option {name} has no unit"

    def test_says_what_it_is(self, plugin: Plugin) -> None:
        """Find a summary line, and every class variable that the plugin's kind asks for."""
        # The class's own docstring: an inherited one describes something else.
        summary = (type(plugin).__dict__.get("__doc__") or "").strip().partition("\n")[0]
        assert summary, f"{type(plugin).__name__} has no docstring; its first line is the summary"
        for name in sorted(type(plugin).__class_vars__):
            assert hasattr(type(plugin), name), f"{type(plugin).__name__} does not declare {name}"
            value = getattr(type(plugin), name)
            assert not isinstance(value, str) or value.strip(), f"{name} is empty"


@functools.cache
def _imported_by(module: str, file: str | None) -> list[str]:
    """Return what of TensorFlow and Keras a module imports in a fresh Python, by name or else from its file."""
    argument = json.dumps([sys.path, module, file])
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", _IMPORT, argument], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"importing {module} fails:\n{done.stderr}"
    return list(json.loads(done.stdout.splitlines()[-1]))


class LossContract(PluginContract):
    """What every loss has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        memory_limit: Bytes that a batch of 1024 may take.
        memory_identities: How many identities that batch shows; fewer for a loss that takes long over many.
    """

    memory_limit: ClassVar[int] = 2**30
    memory_identities: ClassVar[int] = 512

    def test_says_what_it_is_made_for(self, plugin: LossPlugin) -> None:
        """Find a distance, what a batch must hold and whether XLA compiles it in ``traits()``."""
        traits = plugin.traits()
        assert isinstance(traits, LossTraits), f"traits() gives {traits!r}"
        assert traits.distance in get_args(Distance), f"the distance is {traits.distance!r}"
        assert isinstance(traits.needs, BatchNeeds), f"needs is {traits.needs!r}"
        assert isinstance(traits.xla, bool), f"xla is {traits.xla!r}"

    def test_gives_a_float32_scalar(self, plugin: LossPlugin) -> None:
        """Check shape and type of the value."""
        trial = _trial(plugin)
        for how in trial.ways:
            value = trial(*trial.ordinary(), how).value
            assert value.shape == (), f"{how}: the value has shape {value.shape}"
            assert value.dtype == np.float32, f"{how}: the value is {value.dtype}"

    def test_finite_on_ordinary_batches(self, plugin: LossPlugin) -> None:
        """Check value and gradients on batches that hold what the loss needs; and that there are gradients."""
        trial = _trial(plugin)
        for seed in range(3):
            trial.stays_finite(f"ordinary batch {seed}", *trial.ordinary(seed))
        if trial.needs.halves is None:
            labels, x = trial.ordinary()
            uneven = np.sqrt(2 * np.arange(len(labels))).astype(np.int32)  # 0 1 2 2 2 3 3 3 4 4 4 4 4 5 5 5
            trial.stays_finite("identities with one image, and with many", uneven, x)

    def test_finite_on_duplicates(self, plugin: LossPlugin) -> None:
        """Check value and gradients where embeddings coincide, or are zero."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        half = len(labels) // 2
        one_zero = x.copy()
        one_zero[1] = 0
        for name, rows in {
            "every identity in one point": x[labels],
            "identities that share a point": np.concatenate([x[:half], np.roll(x[:half], 1, axis=0)]),
            "two halves that coincide": np.concatenate([x[:half], x[:half]]),
            "all rows equal": np.tile(x[:1], (len(x), 1)),
            "all rows zero": np.zeros_like(x),
            "one row zero": one_zero,
        }.items():
            trial.stays_finite(name, labels, rows)
        for weight in trial.initial:
            if weight.ndim == 2 and weight.shape[1] == x.shape[1]:
                trial.stays_finite("embeddings on a weight's rows", labels, weight[labels % len(weight)])

    def test_finite_on_one_identity(self, plugin: LossPlugin) -> None:
        """Check value and gradients on a batch without different pairs."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        trial.stays_finite("one identity", np.zeros_like(labels), x)

    def test_finite_on_distinct_identities(self, plugin: LossPlugin) -> None:
        """Check value and gradients on a batch without similar pairs."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        trial.stays_finite("all identities distinct", np.arange(len(labels), dtype=np.int32), x)

    def test_finite_on_two_rows(self, plugin: LossPlugin) -> None:
        """Check value and gradients on one similar pair, and on one different pair."""
        trial = _trial(plugin)
        _, x = trial.ordinary()
        for labels in ([0, 0], [0, 1]):
            trial.stays_finite(f"labels {labels}", np.array(labels, np.int32), x[:2], ways=["eager"])

    def test_finite_on_large_embeddings(self, plugin: LossPlugin) -> None:
        """Check value and gradients on an ordinary batch, times 50."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        trial.stays_finite("embeddings times 50", labels, 50 * x)

    def test_finite_with_many_classes(self, plugin: LossPlugin) -> None:
        """Check value and gradients with 10,000 training identities, the last one in the batch."""
        trial = _Trial(plugin, num_classes=10_000)
        labels, x = trial.ordinary()
        trial.stays_finite("10,000 classes", 9_999 - 7 * labels, x, ways=["eager"])

    def test_not_a_number_shows(self, plugin: LossPlugin) -> None:
        """Check that an embedding that is not a number gives a value that is not: divergence must not go unseen."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        one = x.copy()
        one[2, 1] = np.nan
        for how in trial.as_trained:
            for name, rows in {"one number": one, "all numbers": np.full_like(x, np.nan)}.items():
                value = trial(labels, rows, how).value
                assert np.isnan(value), f"{how}: {name} of the embeddings is NaN, the value is {value}"

    def test_order_of_rows_does_not_matter(self, plugin: LossPlugin) -> None:
        """Permute a batch: same value, gradient permuted alike. Where halves matter, they are permuted together."""
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        rng = np.random.default_rng(1)
        if trial.needs.halves is None:
            order = rng.permutation(len(x))
        else:
            half = rng.permutation(len(x) // 2)
            order = np.concatenate([half, half + len(x) // 2])
        before, after = trial(labels, x), trial(labels[order], x[order])
        _same("the value of a permuted batch", after.value, before.value)
        _same("the gradient of a permuted batch", after.gradient, before.gradient[order])

    def test_names_of_identities_do_not_matter(self, plugin: LossPlugin) -> None:
        """Rename the labels: same value and gradient.

        A loss with weights is checked if they are one variable of shape (num_classes * k, D), k rows to a class,
        which are renamed too.
        """
        trial = _trial(plugin)
        labels, x = trial.ordinary()
        renamed = np.random.default_rng(1).permutation(trial.num_classes).astype(np.int32)
        before = trial(labels, x)
        weights = None
        if trial.trainable:
            shapes = [tuple(variable.shape) for variable in trial.trainable]
            if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] != _DIM or shapes[0][0] % trial.num_classes:
                pytest.skip(f"the weights {shapes} are not one variable of (num_classes * k, D)")
            (at,) = (i for i, variable in enumerate(trial.variables) if variable is trial.trainable[0])
            rows = trial.initial[at].reshape(trial.num_classes, -1, _DIM)
            moved = np.empty_like(rows)
            moved[renamed] = rows
            weights = [*trial.initial[:at], moved.reshape(shapes[0]), *trial.initial[at + 1 :]]
        after = trial(renamed[labels], x, weights=weights)
        _same("the value under other labels", after.value, before.value)
        _same("the gradient under other labels", after.gradient, before.gradient)

    def test_same_as_a_graph(self, plugin: LossPlugin) -> None:
        """Compare value and gradients under ``tf.function(autograph=False)`` with those of eager execution."""
        self._compare(plugin, "graph")

    def test_same_under_xla(self, plugin: LossPlugin) -> None:
        """Compare value and gradients under ``jit_compile=True`` with eager execution; not where ``xla`` is False."""
        if not plugin.traits().xla:
            pytest.skip("the loss says xla = False")
        self._compare(plugin, "xla")

    @staticmethod
    def _compare(plugin: LossPlugin, how: str) -> None:
        trial = _trial(plugin)
        for seed in range(2):
            batch = trial.ordinary(seed)
            eager, compiled = trial(*batch), trial(*batch, how)
            _same(f"the value ({how})", compiled.value, eager.value)
            _same(f"the gradient ({how})", compiled.gradient, eager.gradient)
            for here, there in zip(compiled.weights, eager.weights, strict=True):
                _same(f"the gradient of a weight ({how})", here, there)

    def test_the_seed_decides(self, plugin: LossPlugin) -> None:
        """Build it twice with one seed: same weights, same value. Without weights, any seed gives the same value."""
        first, second, other = (_Trial(plugin, seed=seed) for seed in (1, 1, 2))
        batch = first.ordinary()
        for here, there in zip(first.initial, second.initial, strict=True):
            assert np.array_equal(here, there), "two builds with one seed draw different weights"
        value = first(*batch).value
        assert value == first(*batch).value, "two calls give different values"
        assert value == second(*batch).value, "two builds with one seed give different values"
        if not first.trainable:
            assert value == other(*batch).value, "the seed is for initial weights, but changes the value"

    def test_memory_stays_in_bounds(self, plugin: LossPlugin) -> None:
        """Measure forward and backward on 1024 rows, D = 128, 2 images of 512 identities: at most 1 GiB more."""
        if not Path("/proc/self/statm").exists():
            pytest.skip("what a process occupies is read from /proc")
        people = self.memory_identities
        trial = _Trial(plugin, num_classes=people, dim=128)
        labels = np.tile(np.arange(people, dtype=np.int32), 1024 // people)
        if trial.needs.halves == "mixed":
            labels[768:] = np.roll(labels[768:], 1)
        x = np.random.default_rng(0).normal(size=(1024, 128)).astype(np.float32)
        limit = self.memory_limit
        with _growth(stop_at=4 * limit) as grown:
            try:
                trial(labels, x, "graph")
            except trial.tf.errors.ResourceExhaustedError as error:
                pytest.fail(f"a batch of 1024 takes more than {4 * limit / 2**20:.0f} MiB: {error.message[:200]}")
        assert grown() <= limit, f"a batch of 1024 takes {grown() / 2**20:.0f} MiB, more than {limit / 2**20:.0f}"


@dataclass(frozen=True)
class _Outcome:
    """Value of a loss, its gradient in the embeddings, and those in its trainable weights."""

    value: Any
    gradient: Array
    weights: tuple[Array, ...]


class _Trial:
    """A loss, built; every evaluation starts from its initial weights."""

    def __init__(self, plugin: LossPlugin, *, num_classes: int | None = None, dim: int = _DIM, seed: int = 0) -> None:
        import tensorflow as tf

        self.tf, traits = tf, plugin.traits()
        self.needs: BatchNeeds = traits.needs
        self.ways = ["eager", "graph", "xla"] if traits.xla else ["eager", "graph"]
        self.as_trained = ["eager", self.ways[-1]]
        self.dim = dim
        self.people = max(_PEOPLE, self.needs.classes)
        self.images = 2 * ((max(_IMAGES, self.needs.images_per_class) + 1) // 2)
        # As many classes as rows, so that every row may show another identity.
        self.num_classes = num_classes or self.people * self.images
        self.loss = plugin.build(LossContext(self.num_classes, dim, seed))
        if isinstance(self.loss, tf.keras.layers.Layer) and not self.loss.built:
            self.loss(tf.zeros(2, tf.int32), tf.zeros((2, dim)))
        self.variables = list(getattr(self.loss, "weights", []))
        self.trainable = list(getattr(self.loss, "trainable_variables", []))
        self.initial = [variable.numpy() for variable in self.variables]
        self._run = {
            "eager": self._value_and_gradients,
            "graph": tf.function(self._value_and_gradients, autograph=False),
            "xla": tf.function(self._value_and_gradients, autograph=False, jit_compile=True),
        }

    def ordinary(self, seed: int = 0) -> tuple[Array, Array]:
        """Return labels and embeddings that hold what the loss needs, as a sampler would put them."""
        labels = np.tile(np.arange(self.people, dtype=np.int32), self.images)
        if self.needs.halves == "mixed":
            last = 3 * len(labels) // 4
            labels[last:] = np.roll(labels[last:], 1)
        x = np.random.default_rng(seed).normal(size=(len(labels), self.dim))
        return labels, x.astype(np.float32)

    def __call__(self, labels: Array, x: Array, how: str = "eager", weights: Sequence[Array] | None = None) -> _Outcome:
        for variable, value in zip(self.variables, self.initial if weights is None else weights, strict=True):
            variable.assign(value)
        tf = self.tf
        value, gradient, inner = self._run[how](tf.constant(labels, tf.int32), tf.constant(x, tf.float32))
        return _Outcome(value.numpy(), gradient.numpy(), tuple(part.numpy() for part in inner))

    def _value_and_gradients(self, labels: Any, x: Any) -> Any:  # noqa: ANN401 - tensors
        tf = self.tf
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.convert_to_tensor(self.loss(labels, x))
        found = tape.gradient(value, [x, *self.trainable])
        assert found[0] is not None, "no gradient reaches the embeddings"
        assert all(part is not None for part in found), "no gradient reaches one of the loss's own weights"
        gradient, *inner = (tf.convert_to_tensor(part) for part in found)
        return value, gradient, inner

    def stays_finite(self, name: str, labels: Array, x: Array, ways: Sequence[str] = ()) -> None:
        """Assert that value and gradients are finite on a batch."""
        for how in ways or self.as_trained:
            outcome = self(labels, x, how)
            assert np.isfinite(outcome.value).all(), f"{name} ({how}): the value is {outcome.value}"
            assert np.isfinite(outcome.gradient).all(), f"{name} ({how}): the gradient is not finite"
            for gradient in outcome.weights:
                assert np.isfinite(gradient).all(), f"{name} ({how}): the gradient of a weight is not finite"


@dataclass(frozen=True)
class _Key:
    """A plugin as a key: equal options, equal key, also where an option cannot be hashed."""

    cls: type[Plugin]
    options: str
    plugin: Any = field(compare=False)

    @classmethod
    def of(cls, plugin: Plugin) -> _Key:
        return cls(type(plugin), plugin.model_dump_json(), plugin)


def _trial(plugin: LossPlugin) -> _Trial:
    """Return the loss, built and compiled once for all checks of a plugin."""
    return _shared_trial(_Key.of(plugin))


@functools.lru_cache(maxsize=4)
def _shared_trial(key: _Key) -> _Trial:
    return _Trial(key.plugin)


def _same(what: str, here: Any, there: Any) -> None:  # noqa: ANN401 - arrays or numbers
    scale = max(1.0, float(np.max(np.abs(there), initial=0)))
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5 * scale, err_msg=f"{what} differs")


@contextmanager
def _growth(stop_at: int) -> Iterator[Callable[[], int]]:
    """Watch, every millisecond, how many bytes more the process occupies than at first; gives what tells the most.

    Beyond ``stop_at`` the system refuses memory, so that a loss that wants too much fails instead of the machine.
    """
    import resource

    page = resource.getpagesize()
    done = threading.Event()

    def pages() -> tuple[int, int]:
        size, resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
        return int(size), int(resident)

    def watch() -> None:
        while not done.is_set():
            seen.append(pages()[1])
            time.sleep(0.001)

    size, first = pages()
    seen = [first]
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size * page + stop_at, limits[1]))
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: (max(seen) - first) * page
    finally:
        done.set()
        watcher.join()
        resource.setrlimit(resource.RLIMIT_AS, limits)


class ModelContract(PluginContract):
    """What every model has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        shapes: Two shapes of images, (height, width, channels), that it is built for.
    """

    shapes: ClassVar[tuple[tuple[int, int, int], tuple[int, int, int]]] = ((48, 48, 1), (64, 40, 3))

    def test_gives_flat_features(self, plugin: ModelPlugin) -> None:
        """Check that images (B, H, W, C) become finite float32 (B, F), F known when it is built."""
        self._flat(plugin, self.shapes[0])

    def test_takes_images_of_another_shape(self, plugin: ModelPlugin) -> None:
        """Check the same for images of another height, width and number of channels."""
        self._flat(plugin, self.shapes[1])

    @staticmethod
    def _flat(plugin: ModelPlugin, shape: tuple[int, int, int]) -> None:
        model = _model(plugin, shape)
        assert tuple(model.input_shape) == (None, *shape), f"built for {shape}, it takes {model.input_shape}"
        assert len(model.output_shape) == 2, f"{model.output_shape} is not one feature vector an image"
        assert model.output_shape[1], f"{model.output_shape} does not say how many features there are"
        features = np.asarray(model(_images(shape), training=False))
        assert features.shape == (3, model.output_shape[1]), f"the features have shape {features.shape}"
        assert features.dtype == np.float32, f"the features are {features.dtype}"
        assert np.isfinite(features).all(), "some feature is not finite"

    def test_the_seed_decides(self, plugin: ModelPlugin) -> None:
        """Build it twice after ``keras.utils.set_random_seed``: same weights, same features; another seed, others."""
        import keras

        built = []
        with _random_state_kept():
            for seed in (1, 1, 2):
                keras.utils.set_random_seed(seed)
                built.append(plugin.build(self.shapes[0]))
        first, second, other = ([np.asarray(weight) for weight in model.weights] for model in built)
        for here, there in zip(first, second, strict=True):
            assert np.array_equal(here, there), "two builds after one seed draw different weights"
        same = all(np.array_equal(here, there) for here, there in zip(first, other, strict=True))
        assert not first or not same, "another seed draws the same weights"
        images = _images(self.shapes[0])
        once, again = (np.asarray(built[0](images, training=False)) for _ in range(2))
        assert np.array_equal(once, again), "the same images give different features"

    def test_has_no_lambda_layers(self, plugin: ModelPlugin) -> None:
        """Find no ``Lambda`` layer: a saved model is data, not code."""
        import keras

        def layers(model: Any) -> Iterator[Any]:  # noqa: ANN401 - Keras has no types
            for layer in getattr(model, "layers", ()):
                yield layer
                yield from layers(layer)

        model = _model(plugin, self.shapes[0])
        found = [layer.name for layer in layers(model) if isinstance(layer, keras.layers.Lambda)]
        assert not found, f"{', '.join(found)}: write it with layers or operations of Keras"

    def test_saves_and_loads(self, plugin: ModelPlugin, tmp_path: Path) -> None:
        """Save it as one ``.keras`` file and load that in safe mode: the same features."""
        import keras

        model, images = _model(plugin, self.shapes[0]), _images(self.shapes[0])
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
        _same("what the loaded model gives", np.asarray(again(images)), np.asarray(model(images)))


def _images(shape: tuple[int, int, int]) -> Array:
    return np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)


def _model(plugin: ModelPlugin, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401 - Keras has no types
    return _shared_model(_Key.of(plugin), shape)


@functools.lru_cache(maxsize=4)
def _shared_model(key: _Key, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401 - Keras has no types
    return key.plugin.build(shape)


def _random_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - it is about this state
    return {"Python": random.getstate(), "NumPy": (name, np.asarray(keys).tolist(), *rest)}


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the states of Python's and NumPy's global random numbers back at the end."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is about this state
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


class DatasetContract(PluginContract):
    """What every data set has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        decoded: How many images are decoded, evenly spread over all.
    """

    decoded: ClassVar[int] = 100

    def test_labels_count_from_zero(self, plugin: DatasetPlugin) -> None:
        """Check that labels are int32 (N,), one an image, and that each of 0..C-1 occurs."""
        faces = _faces(plugin)
        labels = np.asarray(faces.labels)
        assert labels.dtype == np.int32, f"labels are {labels.dtype}"
        assert labels.shape == (len(faces.images),), f"labels {labels.shape} for {len(faces.images)} images"
        assert np.array_equal(np.unique(labels), np.arange(len(faces.identities))), "labels are not 0..C-1"

    def test_identities_are_unique(self, plugin: DatasetPlugin) -> None:
        """Check that people have names, no two of them the same."""
        identities = _faces(plugin).identities
        assert all(identities), "an identity has no name"
        twice = sorted({name for name in identities if identities.count(name) > 1})
        assert not twice, f"two identities are called {twice[0]!r}"

    def test_images_can_be_read(self, plugin: DatasetPlugin) -> None:
        """Check that images are uint8 (N, H, W) or (N, H, W, 3), or paths of files that Pillow decodes."""
        from PIL import Image

        images = _faces(plugin).images
        assert len(images), "there are no images"
        if isinstance(images, np.ndarray):
            assert images.dtype == np.uint8, f"images are {images.dtype}"
            right = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
            assert right, f"images have shape {images.shape}"
            return
        missing = [path for path in images if not path.is_file()]
        assert not missing, f"{len(missing)} files are missing, the first is {missing[0]}"
        for at in np.linspace(0, len(images) - 1, min(self.decoded, len(images))).astype(int):
            try:
                with Image.open(images[at]) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError) as error:
                pytest.fail(f"{images[at]} cannot be decoded: {error}")

    def test_two_builds_are_the_same(self, plugin: DatasetPlugin) -> None:
        """Build it twice with one seed: same fingerprint, same labels, same names."""
        first, second = _faces(plugin), plugin.build(seed=0)
        assert first.fingerprint, "the fingerprint is empty"
        assert first.fingerprint == second.fingerprint, "two builds have different fingerprints"
        assert np.array_equal(first.labels, second.labels), "two builds have different labels"
        assert first.identities == second.identities, "two builds have different identities"

    def test_licence_and_source_are_given(self, plugin: DatasetPlugin) -> None:
        """Check that the data say where they come from, and under which terms they may be used."""
        faces = _faces(plugin)
        assert faces.licence.strip(), "the licence is empty"
        assert faces.source.strip(), "the source is empty"


def _faces(plugin: DatasetPlugin) -> FaceData:
    return _shared_faces(_Key.of(plugin))


@functools.lru_cache(maxsize=4)
def _shared_faces(key: _Key) -> FaceData:
    faces: FaceData = key.plugin.build(seed=0)
    return faces


class SamplerContract(PluginContract):
    """What every sampler has to keep; the subclass gives a fixture ``plugin``, and maybe one ``labels``."""

    @pytest.fixture
    def labels(self) -> IntArray:
        """Return the labels to draw from: 40 identities with 10 images each, shuffled."""
        return np.random.default_rng(0).permutation(np.repeat(np.arange(40, dtype=np.int32), 10))

    @staticmethod
    def _draw(plugin: SamplerPlugin, labels: IntArray, seed: int = 0) -> tuple[list[IntArray], int]:
        """Return batches, and how many were asked for: 100, or those of three epochs."""
        count = max(100, 3 * len(labels) // plugin.supply().size)
        return list(islice(plugin.build(labels, seed), count)), count

    def test_gives_index_arrays(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Check that a batch is as large as ``supply()`` says, of integers that are indices into the labels."""
        for batch in self._draw(plugin, labels)[0]:
            assert isinstance(batch, np.ndarray), f"a batch is a {type(batch).__name__}"
            assert batch.shape == (plugin.supply().size,), f"a batch has shape {batch.shape}"
            assert np.issubdtype(batch.dtype, np.integer), f"a batch is {batch.dtype}"
            assert batch.min() >= 0, f"{batch.min()} is no index"
            assert batch.max() < len(labels), f"{batch.max()} is no index of {len(labels)} images"

    def test_never_ends(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Draw more batches than an epoch has."""
        drawn, wanted = self._draw(plugin, labels)
        assert len(drawn) == wanted, f"it ends after {len(drawn)} batches"

    def test_keeps_what_it_promises(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Compare every batch with ``supply()``: identities, different images of one identity, halves."""
        supply = plugin.supply()
        assert isinstance(supply, BatchSupply), f"supply() gives {supply!r}"
        for batch in self._draw(plugin, labels)[0]:
            shown = np.asarray(labels)[batch]
            people = len(np.unique(shown))
            assert people >= supply.classes, f"{people} identities instead of {supply.classes}"
            most = int(np.unique(np.asarray(labels)[np.unique(batch)], return_counts=True)[1].max())
            assert most >= supply.images_per_class, f"{most} images of an identity, not {supply.images_per_class}"
            half = len(shown) // 2
            similar = shown[:half] == shown[half : 2 * half]
            if supply.halves == "similar":
                assert similar.all(), "rows i and i + B/2 show different identities"
            if supply.halves == "mixed":
                assert similar.any(), "no rows i and i + B/2 show the same identity"
                assert not similar.all(), "all rows i and i + B/2 show the same identity"

    def test_the_seed_alone_decides(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Draw by turns from two samplers of one seed: the same batches, whatever else draws random numbers."""
        with _random_state_kept():
            first, second = plugin.build(labels, 1), plugin.build(labels, 1)
            for here, there in islice(zip(first, second, strict=False), 20):
                assert np.array_equal(here, there), "two samplers of one seed draw different batches"
                random.random()  # noqa: S311 - what others may draw meanwhile
                np.random.random()  # noqa: NPY002

    def test_another_seed_draws_other_batches(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Compare the batches of two seeds."""
        (one, _), (other, _) = self._draw(plugin, labels, 1), self._draw(plugin, labels, 2)
        same = all(np.array_equal(here, there) for here, there in zip(one, other, strict=False))
        assert not same, "two seeds draw the same batches"

    def test_leaves_global_random_numbers_alone(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Check that drawing does not move the global random state of Python and of NumPy."""
        with _random_state_kept():
            before = _random_state()
            list(islice(plugin.build(labels, 0), 20))
            moved = [name for name, state in _random_state().items() if state != before[name]]
        assert not moved, f"it moves the global state of {' and of '.join(moved)}"
