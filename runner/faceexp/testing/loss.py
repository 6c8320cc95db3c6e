"""What every loss has to keep."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import LossPlugin, LossTraits
from faceexp.layers import unseeded_draws
from faceexp.testing.plugin import PluginContract, assert_process_stays, assert_same, random_state
from faceexp.testing.trial import (
    DIM,
    DRAWS,
    Trial,
    assert_memory,
    assert_precisions,
    assert_same_mean,
    constants,
    shared_trial,
    switched_on,
    variants,
)


class LossContract(PluginContract):
    """What every loss has to keep; the subclass gives a fixture ``plugin``.

    A loss may draw random numbers from a seed that it keeps in a Keras layer, as ``faceexp.layers.random_layer`` does.
    Then every evaluation begins with the same state; where other numbers are drawn for good reason, as for a permuted
    batch, means over many draws are compared.

    Class variables:
        memory_limit: Bytes that a batch of 1024 may take.
        memory_identities: How many identities that batch shows; fewer for a loss that takes long over many.
    """

    memory_limit: ClassVar[int] = 2**30
    memory_identities: ClassVar[int] = 512

    def test_says_what_it_is_made_for(self, plugin: LossPlugin) -> None:
        """Find in ``traits()`` a distance, needs that a batch can meet, and whether XLA compiles it.

        With options as they are when none is given, ``traits()`` says what the class variables say: these are what
        people read.
        """
        try:
            traits = plugin.traits()
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            pytest.fail(f"traits() raises {type(error).__name__}: {error}")
        assert isinstance(traits, LossTraits), f"traits() gives {traits!r}"
        needs = traits.needs
        fewest_classes, fewest_images = (2 if needs.halves == "mixed" else 1), (2 if needs.halves else 1)
        assert needs.classes >= fewest_classes, f"no batch of {needs.classes} identities is as {needs!r} says"
        assert needs.images_per_class >= fewest_images, f"no batch is as {needs!r} says"
        cls = type(plugin)
        if not any(declared.is_required() for declared in cls.model_fields.values()):
            declared_traits = LossTraits(cls.distance, cls.needs, cls.xla)
            assert cls().traits() == declared_traits, f"traits() of {cls()!r} is not what the class variables say"

    def test_gives_a_float32_scalar(self, plugin: LossPlugin) -> None:
        """Check shape and type of the value."""
        trial = shared_trial(plugin)
        for how in trial.ways:
            value = trial(*trial.ordinary(), how).value
            assert value.shape == (), f"{how}: the value has shape {value.shape}"
            assert value.dtype == np.float32, f"{how}: the value is {value.dtype}"

    def test_finite_on_ordinary_batches(self, plugin: LossPlugin) -> None:
        """Check value and gradients on batches that hold what the loss needs; and that there are gradients."""
        trial = shared_trial(plugin)
        for seed in range(3):
            trial.stays_finite(f"ordinary batch {seed}", *trial.ordinary(seed))
        if trial.needs.halves is None:
            labels, x = trial.ordinary()
            uneven = np.sqrt(2 * np.arange(len(labels))).astype(np.int32)  # 0 1 2 2 2 3 3 3 4 4 4 4 4 5 5 5
            trial.stays_finite("identities with one image, and with many", uneven, x)

    def test_finite_on_duplicates(self, plugin: LossPlugin) -> None:
        """Check value and gradients where embeddings coincide, or are zero."""
        trial = shared_trial(plugin)
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
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        trial.stays_finite("one identity", np.zeros_like(labels), x)

    def test_finite_on_distinct_identities(self, plugin: LossPlugin) -> None:
        """Check value and gradients on a batch without similar pairs."""
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        trial.stays_finite("all identities distinct", np.arange(len(labels), dtype=np.int32), x)

    def test_finite_on_two_rows(self, plugin: LossPlugin) -> None:
        """Check value and gradients on one similar pair, and on one different pair."""
        trial = shared_trial(plugin)
        _, x = trial.ordinary()
        for labels in ([0, 0], [0, 1]):
            trial.stays_finite(f"labels {labels}", np.array(labels, np.int32), x[:2], ways=["eager"])

    def test_finite_on_large_embeddings(self, plugin: LossPlugin) -> None:
        """Check value and gradients on an ordinary batch, times 50 and times 10,000."""
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        for factor in (50, 10_000):
            trial.stays_finite(f"embeddings times {factor:,}", labels, factor * x)

    def test_finite_with_many_classes(self, plugin: LossPlugin) -> None:
        """Check value and gradients with 10,000 training identities, the last one in the batch."""
        trial = Trial(plugin, num_classes=10_000)
        labels, x = trial.ordinary()
        trial.stays_finite("10,000 classes", 9_999 - 7 * labels, x, ways=["eager"])

    def test_finite_whatever_the_options(self, plugin: LossPlugin) -> None:
        """Give one option after the other each of its choices, and the least and the greatest value that it allows.

        Value and gradients have to be finite on an ordinary batch, and on one with duplicates and a row of zeros. An
        option that spoils them has too wide bounds: ``ge=0`` of a temperature, for instance, allows to divide by zero.
        """
        for name, variant in variants(plugin):
            try:
                trial = Trial(variant)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises
                pytest.fail(f"{name} is allowed, but cannot be built: {type(error).__name__}: {error}")
            labels, x = trial.ordinary()
            edges = x.copy()
            edges[1], edges[2], edges[trial.people] = x[0], 0, x[0]  # Of another identity, no length, of the same one.
            trial.stays_finite(f"{name}, ordinary batch", labels, x, ways=["eager"])
            trial.stays_finite(f"{name}, duplicates and zeros", labels, edges, ways=["eager"])

    def test_normalises_only_when_told(self, plugin: LossPlugin) -> None:
        """Compare embeddings of several lengths with ``normalize`` on and off, where the loss has such an option.

        On, the value is that of rows of length 1, and the loss is made for the cosine; off, lengths matter.
        """
        if not isinstance(getattr(plugin, "normalize", None), bool):
            return
        normalising, plain = (plugin.model_copy(update={"normalize": told}) for told in (True, False))
        assert normalising.traits().distance == "cosine", "it normalises, but is made for another distance"
        trial, plain_trial = Trial(normalising), Trial(plain)
        labels, x = trial.ordinary()
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        rows = unit * np.linspace(2, 8, len(x), dtype=np.float32)[:, None]
        told, untold = trial(labels, rows).value, plain_trial(labels, rows).value
        of_unit_rows = plain_trial(labels, unit).value
        message = "normalize = true does not give the value of rows of length 1"
        np.testing.assert_allclose(told, of_unit_rows, rtol=1e-4, atol=1e-6, err_msg=message)
        assert abs(untold - told) > 1e-3 * abs(told), f"with normalize on or off, the value is {told}"

    def test_takes_every_precision(self, plugin: LossPlugin) -> None:
        """Give it 128 embeddings as float16, bfloat16 and float64, as a network of mixed precision gives them.

        Value and gradient have to be those of the same numbers as float32: a loss computes in float32, in which it
        returns its value, whatever it is given.
        """
        assert_precisions(plugin)

    def test_not_a_number_shows(self, plugin: LossPlugin) -> None:
        """Check that an embedding that is not a number gives a value that is not: divergence must not go unseen."""
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        one = x.copy()
        one[2, 1] = np.nan
        for how in trial.as_trained:
            for name, rows in {"one number": one, "all numbers": np.full_like(x, np.nan)}.items():
                value = trial(labels, rows, how).value
                assert np.isnan(value), f"{how}: {name} of the embeddings is NaN, the value is {value}"

    def test_order_of_rows_does_not_matter(self, plugin: LossPlugin) -> None:
        """Permute a batch: same value, gradient permuted alike. Where halves matter, they are permuted together."""
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        rng = np.random.default_rng(1)
        if trial.needs.halves is None:
            order = rng.permutation(len(x))
        else:
            half = rng.permutation(len(x) // 2)
            order = np.concatenate([half, half + len(x) // 2])
        if trial.draws:
            # Whoever stands in row 3 draws the third number: a row's own value changes, the mean over draws must not.
            back = np.append(np.arange(x.size).reshape(x.shape)[np.argsort(order)].ravel(), x.size)
            mean, error = trial.mean_outcome(labels[order], x[order], "graph", first=DRAWS)
            there = trial.mean_outcome(labels, x, "graph")
            assert_same_mean("the value or the gradient of a permuted batch", (mean[back], error[back]), there)
            return
        before, after = trial(labels, x), trial(labels[order], x[order])
        assert_same("the value of a permuted batch", after.value, before.value)
        assert_same("the gradient of a permuted batch", after.gradient, before.gradient[order])

    def test_names_of_identities_do_not_matter(self, plugin: LossPlugin) -> None:
        """Rename the labels: same value and gradient.

        A loss with weights is checked if they are one variable of shape (num_classes * k, D), k rows to a class,
        which are renamed too.
        """
        trial = shared_trial(plugin)
        labels, x = trial.ordinary()
        renamed = np.random.default_rng(1).permutation(trial.num_classes).astype(np.int32)
        weights = None
        if trial.trainable:
            shapes = [tuple(variable.shape) for variable in trial.trainable]
            if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] != DIM or shapes[0][0] % trial.num_classes:
                pytest.skip(f"the weights {shapes} are not one variable of (num_classes * k, D)")
            (at,) = (i for i, variable in enumerate(trial.variables) if variable is trial.trainable[0])
            rows = trial.initial[at].reshape(trial.num_classes, -1, DIM)
            moved = np.empty_like(rows)
            moved[renamed] = rows
            weights = [*trial.initial[:at], moved.reshape(shapes[0]), *trial.initial[at + 1 :]]
        if trial.draws:
            expected = trial.mean_outcome(labels, x, "graph")
            moved_mean = trial.mean_outcome(renamed[labels], x, "graph", weights, first=DRAWS)
            assert_same_mean("the value or the gradient under other labels", moved_mean, expected)
            return
        before, after = trial(labels, x), trial(renamed[labels], x, weights=weights)
        assert_same("the value under other labels", after.value, before.value)
        assert_same("the gradient under other labels", after.gradient, before.gradient)

    def test_same_as_a_graph(self, plugin: LossPlugin) -> None:
        """Compare value and gradients under ``tf.function(autograph=False)`` with those of eager execution."""
        self._compare(plugin, "graph")

    def test_same_under_xla(self, plugin: LossPlugin) -> None:
        """Compare value and gradients under XLA with those of eager execution; not where ``xla`` is False.

        The size of batches is unknown when it is compiled: a loss asks ``tf.shape(x)`` for it, not ``x.shape``.
        """
        if not plugin.traits().xla:
            pytest.skip("the loss says xla = False")
        self._compare(plugin, "xla")

    @staticmethod
    def _compare(plugin: LossPlugin, how: str) -> None:
        trial = shared_trial(plugin)
        if trial.draws and how == "xla":
            # XLA draws other numbers from the same seed.
            compiled_mean, drawn_mean = (trial.mean_outcome(*trial.ordinary(), each) for each in ("xla", "graph"))
            assert_same_mean("the value or the gradient (xla)", compiled_mean, drawn_mean)
            return
        for seed in range(2):
            batch = trial.ordinary(seed)
            eager, compiled = trial(*batch), trial(*batch, how)
            # Closer than elsewhere: the same numbers in the same order, which only the compiler may add up differently.
            assert_same(f"the value ({how})", compiled.value, eager.value, rtol=1e-5, atol=1e-6)
            assert_same(f"the gradient ({how})", compiled.gradient, eager.gradient, atol=1e-6)
            for here, there in zip(compiled.weights, eager.weights, strict=True):
                assert_same(f"the gradient of a weight ({how})", here, there, atol=1e-6)

    def test_the_seed_decides(self, plugin: LossPlugin) -> None:
        """Build it twice with one seed: same weights, same value.

        Without weights, and without random numbers, any seed gives the same value.
        """
        first, second, other = (Trial(plugin, seed=seed) for seed in (1, 1, 2))
        batch = first.ordinary()
        for here, there in zip(first.initial, second.initial, strict=True):
            assert np.array_equal(here, there), "two builds with one seed draw different weights"
        value = first(*batch).value
        assert value == first(*batch).value, "two calls give different values"
        assert value == second(*batch).value, "two builds with one seed give different values"
        if not first.trainable and not first.draws:
            assert value == other(*batch).value, "the seed is for initial weights, but changes the value"

    def test_draws_random_numbers_from_its_seed_alone(self, plugin: LossPlugin) -> None:
        """Find in the graph of the loss no other random numbers than those of a seed that it is given.

        Neither operations of TensorFlow that draw without one, even where nothing depends on what they draw, nor
        NumPy's and Python's numbers, which become constants of the graph. It is looked at with its options as they are,
        with each as in ``test_finite_whatever_the_options``, and with each that is 0 switched on.
        """
        cure = "; faceexp.layers.random_layer gives a loss a seed for tf.random.stateless_normal and its like"
        # Numbers of a generator of its own are seen only by drawing the graph twice, which takes too long for all.
        twice = [("as it is", plugin), *switched_on(plugin)]
        for name, variant in (*twice, *variants(plugin)):
            try:
                trial = Trial(variant)
            except Exception:  # noqa: BLE001, S112 - the check of its options names what cannot be built
                continue
            # Keras draws from Python's numbers when it makes weights, for which it is given a seed.
            before = random_state()
            nodes = trial.nodes()
            after = random_state()
            draws = unseeded_draws(node.op for node in nodes)
            assert not draws, f"{name}: it draws random numbers without a seed, by {' and '.join(draws)}{cure}"
            moved = [kind for kind, state in before.items() if state != after[kind]]
            assert not moved, f"{name}: it draws from the global random numbers of {' and of '.join(moved)}{cure}"
            if (name, variant) in twice:
                again = constants(Trial(variant).nodes())
                assert constants(nodes) == again, f"{name}: it has other constants each time it is built{cure}"

    def test_keeps_its_state_in_a_layer(self, plugin: LossPlugin) -> None:
        """Use one build for a while: it must then give what a fresh one gives. Find no variable outside a Keras layer.

        Training puts back the weights of a layer before each trial. What a function remembers otherwise, in a variable
        or in a generator of random numbers, would pass from one trial to the next.
        """
        used, fresh = Trial(plugin), Trial(plugin)
        for seed in range(1, 4):
            used(*used.ordinary(seed))
        after, before = used(*used.ordinary()).value, fresh(*fresh.ordinary()).value
        assert np.array_equal(after, before), "its value depends on the batches before"
        stray = used.stray_variables()
        assert not stray, f"{', '.join(stray)} is no weight of a Keras layer; return a layer that has it as a weight"

    def test_leaves_the_process_as_it_was(self, plugin: LossPlugin) -> None:
        """Build it and call it: settings of Keras, TensorFlow, NumPy and Python must stay as they are."""
        import tensorflow as tf  # noqa: F401 - for its settings, as they are before the loss is built

        def act() -> None:
            trial = Trial(plugin)
            trial(*trial.ordinary())

        assert_process_stays(act)

    def test_memory_stays_in_bounds(self, plugin: LossPlugin) -> None:
        """Measure forward and backward on 1024 rows, D = 128, 2 images of 512 identities: at most 1 GiB more."""
        if not Path("/proc/self/statm").exists():
            pytest.skip("what a process occupies is read from /proc")
        assert_memory(plugin, self.memory_identities, self.memory_limit)
