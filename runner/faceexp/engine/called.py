"""One call of each loss, and of each optimiser that a file names, on numbers of no meaning."""

from __future__ import annotations

from typing import cast

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import LossPlugin, SamplerPlugin
from faceexp.engine.backend import Variable, compiled, derive_seed, standard, tensorflow, versions
from faceexp.engine.borders import PluginValueError, scalar, take, unseeded_draws
from faceexp.engine.descent import Descent
from faceexp.engine.determinism import refusal
from faceexp.engine.failures import explained, place_of_function
from faceexp.engine.losses import build_loss, others, refuse_hidden, trainable_variables, trained_by, weights_of
from faceexp.engine.pretrain import SampledSoftmax
from faceexp.engine.sampled import NotSampledError, SampledClasses, is_sampled
from faceexp.engine.shared import training_labels
from faceexp.experiment.optimization import Optimization, Optimizer, sample_size
from faceexp.experiment.schema import PluginRef, Pretrain
from faceexp.registry.combined import CombinedLoss
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Inputs, digest
from faceexp.values import Plan, ResolvedLoss

# Batches that are drawn from a sampler.
BATCHES = 3


class OtherFaultError(Exception):
    """Another plugin of a row than its loss is at fault, by the error that caused this one."""

    def __init__(self, plugin: ConfiguredPlugin) -> None:
        super().__init__(str(plugin.installed))
        self.plugin = plugin


class WeightlessError(Exception):
    """A loss has no weights, or none that could be sampled, and the file asks for something that needs them."""


class PlacedError(PluginValueError):
    """A plugin has given what its contract does not allow; the text ends with a file and a line."""


def classifier_of(phase1: Pretrain, plan: Plan) -> ConfiguredPlugin:
    """Return the loss of a phase 1 that names one."""
    return plan.resolved.classifiers[cast("PluginRef", phase1.loss).key]


def own_phase1(resolved: ResolvedLoss, plan: Plan) -> Pretrain | None:
    """Return the phase 1 of a row, if it has a loss that is not the shared one."""
    phase1 = resolved.entry.pretrain
    is_own = phase1.enabled and phase1.loss and phase1.loss != plan.resolved.experiment.pretrain.loss
    return phase1 if is_own else None


def _wants_weights(resolved: ResolvedLoss, plan: Plan) -> bool:
    """Return whether a row has settings of its own for weights of the loss; those of all rows may be for others."""
    shared = plan.resolved.experiment.finetune
    return bool(resolved.entry.finetune.proxies) and resolved.entry.finetune.proxies != (shared and shared.proxies)


def _wants_sample(resolved: ResolvedLoss, plan: Plan) -> bool:
    """Return whether a row samples its own identities' weights; a loss of all rows may have none of these."""
    sampled, shared = resolved.entry.finetune.sampled, plan.resolved.experiment.finetune
    return sampled is not None and sampled != (shared and shared.sampled)


def determines(resolved: ResolvedLoss, plan: Plan) -> Inputs:
    """Return everything that determines what comes of the rehearsal of a loss."""
    phase1 = own_phase1(resolved, plan)
    classifier = {"classifier": [classifier_of(phase1, plan).identity, *_of_phase1(phase1)]} if phase1 else {}
    sampled = resolved.entry.finetune.sampled
    sample = {} if sampled is None else {"sampled": [sampled, _wants_sample(resolved, plan)]}
    return {
        "loss": resolved.loss.identity,
        "sampler": resolved.sampler.identity,
        "wants_weights": _wants_weights(resolved, plan),
        **classifier,
        **sample,
        **_of_all(plan),
    }


def determines_phase1(phase1: Pretrain, plan: Plan) -> Inputs:
    """Return everything that determines what comes of the rehearsal of the loss of a phase 1."""
    return {"phase1": [classifier_of(phase1, plan).identity, *_of_phase1(phase1)], **_of_all(plan)}


def _of_phase1(phase1: Pretrain) -> list[float]:
    return [each for each in (phase1.batch_size, phase1.sampled) if each is not None]


def _of_all(plan: Plan) -> Inputs:
    return {
        "labels": digest(_labels(plan).tolist()),
        "embedding_dim": plan.resolved.experiment.trunk.embedding_dim,
        "versions": versions(plan.resolved.experiment.device),
    }


def rehearse(resolved: ResolvedLoss, plan: Plan) -> tuple[str, ...]:
    """Call a loss once, on random embeddings of people that its sampler draws, and its own loss of phase 1 likewise.

    Returns:
        Their operations that draw random numbers for which there is no seed.

    Raises:
        OtherFaultError: The sampler raises something, or does not give what it promises; or the loss of phase 1 is at
            fault, or one of the losses of a sum.
        WeightlessError: The row has settings for weights of the loss, which has none; or see :func:`classify`.
        PluginValueError: The loss is no number, or no gradient of it reaches the embeddings. Whatever else it raises
            passes through.
    """
    labels = _labels(plan)
    try:
        sampler, supply = resolved.sampler, resolved.sampler.supply()
        batches = cast("SamplerPlugin", sampler.plugin).build(labels.copy(), derive_seed("rehearsal"))
        rows = take(batches, BATCHES, supply, labels, str(sampler.installed))[0]
    except BaseException as error:
        raise OtherFaultError(resolved.sampler) from error
    sampled, label = resolved.entry.finetune.sampled, resolved.entry.label
    is_exchanged = _exchanges(resolved.loss, sampled, plan)
    weights, unseeded = _drawn_parts(resolved, labels[rows], plan, sampled if is_exchanged else None)
    if not is_exchanged and _wants_sample(resolved, plan):
        raise WeightlessError(
            f"the loss of row {label!r} has no weights for each identity, so its finetune.sampled_classes changes "
            "nothing"
        )
    if not weights and _wants_weights(resolved, plan):
        raise WeightlessError(f"the loss of row {label!r} has no weights, so its finetune.proxies changes nothing")
    phase1 = own_phase1(resolved, plan)
    if phase1 is None:
        return unseeded
    try:
        return tuple(sorted({*unseeded, *classify(phase1, plan)}))
    except WeightlessError:
        raise
    except BaseException as error:
        raise OtherFaultError(classifier_of(phase1, plan)) from error


def classify(phase1: Pretrain, plan: Plan) -> tuple[str, ...]:
    """Call the loss of a phase 1 once, on random embeddings of random people; see :func:`rehearse`.

    Raises:
        WeightlessError: It has no weights that are trained, so nothing would tell one person from another; or none for
            each identity, where these are to be sampled.
    """
    labels, loss, name = _labels(plan), classifier_of(phase1, plan), classifier_of(phase1, plan).installed.name
    if not (is_exchanged := _exchanges(loss, phase1.sampled, plan)) and phase1.sampled is not None:
        raise WeightlessError(
            f"loss {name!r} has no weights for each identity, so pretrain.sampled_classes changes nothing"
        )
    people, sampled = np.random.default_rng(0).choice(labels, phase1.batch_size), phase1.sampled
    weights, unseeded = _drawn(loss, people, plan, sampled if is_exchanged else None)
    if not weights:
        raise WeightlessError(
            f"loss {name!r} has no weights, so it cannot classify in phase 1; name one that has, such as proxies, for "
            "pretrain.loss"
        )
    return unseeded


def _drawn_parts(
    resolved: ResolvedLoss, people: IntArray, plan: Plan, sampled: float | None
) -> tuple[list[Variable], tuple[str, ...]]:
    """Return what :func:`_drawn` does, of all losses of a sum together, each of which is called by itself."""
    weights: list[Variable] = []
    unseeded: set[str] = set()
    for part in resolved.loss.parts:
        try:
            of_part, draws = _drawn(part, people, plan, sampled)
        except Exception as error:
            if part is resolved.loss:
                raise
            raise OtherFaultError(part) from error
        weights += of_part
        unseeded |= {*draws}
    return weights, tuple(sorted(unseeded))


def _exchanges(loss: ConfiguredPlugin | CombinedLoss, sampled: float | None, plan: Plan) -> bool:
    """Return whether a loss has weights for each identity, which each step exchanges, if the file asks for that.

    Raises:
        WeightlessError: They cannot be exchanged.
    """
    try:
        return sampled is not None and is_sampled(trained_by(loss), plan.resolved.experiment.trunk.embedding_dim)
    except NotSampledError as error:
        name = " + ".join(part.installed.name for part in loss.parts)
        raise WeightlessError(f"loss {name!r}: {error}") from error


def _drawn(
    configured: ConfiguredPlugin, people: IntArray, plan: Plan, sampled: float | None
) -> tuple[list[Variable], tuple[str, ...]]:
    """Return the weights of a loss that are trained, and its draws without a seed, after its step was drawn once."""
    tf = tensorflow()
    classes, dim = int(_labels(plan).max()) + 1, plan.resolved.experiment.trunk.embedding_dim
    if sampled is not None:
        classes = sample_size(sampled, classes)
        people = people % classes
    loss = build_loss(cast("LossPlugin", configured.plugin), classes, dim, derive_seed("rehearsal"))
    drawn = np.random.default_rng(0).normal(size=(len(people), dim)).astype(np.float32)

    def step(labels: object, embeddings: object) -> tuple[object, object]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = scalar(loss(labels, embeddings))
        hidden = others(tape.watched_variables(), weights_of(loss))
        gradient, *rest = tape.gradient(value, [embeddings, *hidden, *trainable_variables(loss)])
        refuse_hidden(hidden, rest[: len(hidden)])
        if gradient is None:
            raise PluginValueError(
                "no gradient of the loss reaches the embeddings: rounding, comparing, casting to integers, argmax, "
                "stop_gradient and NumPy have none"
            )
        return value, gradient

    try:
        with standard(derive_seed("rehearsal")):
            graph = compiled(step).get_concrete_function(tf.constant(people, tf.int32), tf.constant(drawn))
    except PluginValueError as error:
        # It is ours, raised after the plugin has returned: what can be named is where the function begins.
        raise PlacedError(f"{error}{place_of_function(loss, configured)}") from error
    return trainable_variables(loss), unseeded_draws(graph)


def tried(optimizer: Optimizer, *, exchanges: bool) -> str:
    """Return why an optimiser cannot be used with its options; nothing where it can.

    Args:
        optimizer: Which Keras has to take.
        exchanges: Whether what it keeps of class weights has to be exchanged from step to step.
    """
    tf = tensorflow()
    try:
        with standard(derive_seed("rehearsal")):
            layer = tf.keras.layers.Dense(2)
            layer.build((None, 3))
            descent = Descent(Optimization(optimizer=optimizer), layer.trainable_variables, {})
            compiled(lambda: descent.apply([tf.ones((3, 2)), tf.ones(2)]))()
            if exchanges:
                softmax = SampledSoftmax(2, 5)
                descent = Descent(Optimization(optimizer=optimizer), [], {}, softmax.windows, sampled=softmax.windows)
                SampledClasses(softmax, descent, 3)
    except Exception as error:  # noqa: BLE001 - Keras raises whatever a wrong value leads to
        if refusal(error):
            return ""
        options = ", ".join(f"{key} = {value!r}" for key, value in optimizer.options.items())
        given = f" ({options})" if options else ""
        reason = explained(error)[1].removeprefix("ValueError: ").removeprefix("NotSampledError: ")
        return f"optimizer {optimizer.name!r}{given}: {reason}"
    return ""


def _labels(plan: Plan) -> IntArray:
    """Return the labels of the first training part, from 0 on."""
    train = plan.splits[0].train
    return training_labels(plan.labels, train)[train]
