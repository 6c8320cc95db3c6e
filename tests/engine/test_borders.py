"""What plugins give to the engine: what is not as promised is refused by name, before it changes a number."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.contract import BatchSupply
from faceexp.engine import borders
from faceexp.engine.backend import compiled, tensorflow
from faceexp.engine.borders import PluginValueError, check_can_be_kept, check_trunk, outside_state, scalar, take

LABELS = np.repeat(np.arange(4, dtype=np.int32), 3)
# Two identities with two images each, the first images before the second ones.
PROMISE = BatchSupply(4, classes=2, images_per_class=2, halves="similar")


def taken(*batches: object, supply: BatchSupply = PROMISE) -> np.ndarray:
    return take(iter(batches), len(batches), supply, LABELS, "sampler 'mine'")


def test_batches_as_promised_are_stacked() -> None:
    chosen = taken(np.array([0, 3, 1, 4]), [9, 6, 11, 8])
    np.testing.assert_array_equal(chosen, [[0, 3, 1, 4], [9, 6, 11, 8]])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([0, 3, 1], r"promises batches of 4 images, and gives one of shape \(3,\)"),
        ([[0, 3, 1, 4]], r"promises batches of 4 images, and gives one of shape \(1, 4\)"),
        ([0.0, 3.0, 1.0, 4.0], "gives an array of float64"),
        ([True, False, True, True], "gives an array of bool"),
        (np.ma.array([0, 3, 1, 4], mask=[0, 0, 0, 1]), "gives a masked array"),
        ([0, 3, 1, -8], "asks for image -8; there are images 0 to 11"),
        ([0, 3, 1, 12], "asks for image 12; there are images 0 to 11"),
        ([0, 1, 2, 0], "promises 2 identities with 2 images or more"),
        ([0, 3, 6, 9], "promises 2 identities with 2 images or more"),
        ([0, 1, 3, 4], r"promises rows i and i \+ B/2 of the same identity"),
    ],
)
def test_a_batch_that_is_not_as_promised_is_refused(batch: object, message: str) -> None:
    """A negative index would count from the end, a short batch would make the budget a lie."""
    with pytest.raises(PluginValueError, match=f"^sampler 'mine' {message}"):
        taken([0, 3, 1, 4], batch)


def test_mixed_halves_need_both_kinds_of_pairs() -> None:
    supply = BatchSupply(4, classes=1, halves="mixed")
    taken([0, 3, 1, 6], supply=supply)
    for batch in ([0, 3, 1, 4], [0, 3, 3, 0]):
        with pytest.raises(PluginValueError, match="in some pairs and of different ones in others"):
            taken(batch, supply=supply)


def test_batches_must_not_end() -> None:
    with pytest.raises(PluginValueError, match="has no more batches"):
        take(iter([np.array([0, 3, 1, 4])]), 2, PROMISE, LABELS, "sampler 'mine'")


@pytest.mark.parametrize("seed", range(20))
def test_a_promise_is_broken_exactly_where_a_count_says_so(seed: int) -> None:
    """Compared with counting, batch by batch, for random batches and promises."""
    random = np.random.default_rng(seed)
    size, classes, images = int(random.integers(2, 7)), int(random.integers(1, 4)), int(random.integers(1, 3))
    labels = random.integers(0, 3, (3, size)).astype(np.int32)
    kept = all(sum(np.unique(row, return_counts=True)[1] >= images) >= classes for row in labels)
    assert (borders._broken_promise(labels, BatchSupply(size, classes, images)) == "") == kept


def test_a_loss_is_one_number() -> None:
    tf = tensorflow()
    assert scalar(tf.constant(2.5, tf.float64)).dtype == tf.float32
    wrong = {
        "gives None, not a tensor": None,
        "gives a float, not a tensor": 0.5,
        r"gives values of shape \(8,\), not a scalar": tf.zeros(8),
        r"gives values of shape \(1,\), not a scalar": tf.zeros(1),
        "gives a number of type int32": tf.constant(1),
    }
    for message, value in wrong.items():
        with pytest.raises(PluginValueError, match=message):
            scalar(value)


def test_a_trunk_is_a_model_with_one_flat_output() -> None:
    keras = tensorflow().keras
    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(image)
    check_trunk(keras.Model(image, flat))
    wrong = {
        "gives a Flatten, not a keras.Model": keras.layers.Flatten(),
        "gives a function, not a keras.Model": lambda images: images,
        "has 1 inputs and 2 outputs": keras.Model(image, [flat, flat]),
        r"gives \(None, 8, 8, 1\), not one flat": keras.Model(image, keras.layers.ReLU()(image)),
    }
    for message, trunk in wrong.items():
        with pytest.raises(PluginValueError, match=message):
            check_trunk(trunk)


def test_a_network_with_code_inside_is_refused_before_it_is_trained() -> None:
    keras = tensorflow().keras
    image = keras.Input((8, 8, 1))
    plain = keras.Model(image, keras.layers.Flatten()(image))
    check_can_be_kept(plain.save)
    with_code = keras.Model(image, keras.layers.Lambda(lambda images: images * 2)(image))
    with pytest.raises(PluginValueError, match="cannot be saved and opened again"):
        check_can_be_kept(with_code.save)


def test_what_a_step_keeps_beside_its_weights_is_seen() -> None:
    """A variable, a generator of random numbers, random numbers without a seed, and code in Python."""
    tf = tensorflow()
    tf.random.set_seed(0)
    weight, count = tf.Variable(1.0), tf.Variable(0.0)
    generator = tf.random.Generator.from_seed(1)

    def state(step: object) -> list[object] | None:
        function = compiled(step)
        function(tf.constant(2.0))
        return outside_state(function, [tf.constant(2.0)], [weight])

    def in_a_loop(value: object) -> object:
        """As training does, many steps are one loop."""
        return tf.while_loop(lambda total: total < 9.0, lambda total: total + count.assign_add(1.0), [value])[0]

    assert state(lambda value: value * weight) is None
    assert state(lambda value: value * weight.assign_add(1.0)) is None
    assert state(lambda value: value + count) == [count.handle]
    assert state(in_a_loop) == [count.handle]
    assert len(state(lambda value: value + generator.normal(())) or ()) == 1
    assert state(lambda value: value + tf.random.normal(())) == []
    assert state(lambda value: tf.numpy_function(lambda given: given, [value], tf.float32)) == []


def test_weights_of_keras_layers_are_known_by_their_variables() -> None:
    keras = tensorflow().keras
    dense = keras.layers.Dense(3)
    dense.build((None, 2))
    function = compiled(dense)
    inputs = np.zeros((1, 2), np.float32)
    function(inputs)
    assert outside_state(function, [inputs], dense.variables) is None
    assert len(outside_state(function, [inputs], []) or ()) == len(dense.variables)
