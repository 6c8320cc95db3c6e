"""Class weights of which each step sees and changes a few: those of its batch's identities, and of others at random.

As in X. An et al., "Partial FC: training 10 million identities on a single machine" (ICCV workshops 2021) and "Killing
two birds with one stone: efficient and robust training of face recognition CNNs by Partial FC" (CVPR 2022).

A loss is built for as many identities as a step sees. Its weights are windows: before each step they are filled with
the rows of the identities that take part, which lie in tables of all identities, and after it they are put back,
together with what the optimiser keeps of them. So neither a loss nor an optimiser knows that there are more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import LossPlugin
from faceexp.engine.backend import Tensor, Variable, compiled, derive_seed, tensorflow
from faceexp.engine.borders import PluginValueError
from faceexp.engine.descent import Descent
from faceexp.engine.losses import PluginLoss, build_loss, weights_of
from faceexp.engine.steps import Steps
from faceexp.experiment.optimization import sample_size
from faceexp.registry.combined import CombinedLoss

# Two numbers of identities: weights whose shapes differ between them belong to identities.
FEW, MORE = 2, 3

# What a step gets in the place of labels: labels alone, or those within a sample together with the sample.
Targets: TypeAlias = Tensor


class NotSampledError(PluginValueError):
    """The weights of a loss cannot be sampled by identity."""


@runtime_checkable
class Sampled(Protocol):
    """A loss of which the weights of some identities take part in a step.

    Attributes:
        size: How many take part.
        windows: The weights that belong to identities; their first axis is a multiple of how many take part.
    """

    size: int
    windows: list[Variable]

    def first_rows(self, seed: int, classes: int) -> Sequence[Tensor]:
        """Return the first values of each window, for so many identities."""


class AllClasses:
    """Every step sees the weights of all identities: nothing is drawn, and nothing exchanged."""

    @property
    def variables(self) -> list[Variable]:
        """Everything that is set anew for each training."""
        return []

    def reset(self, seed: int) -> None:
        """Start over, once the optimiser has: with weights that are drawn anew."""

    def drawn(self, labels: IntArray, count: int) -> Targets:  # noqa: ARG002 - as SampledClasses
        """Return what goes into a compiled call in the place of labels."""
        return labels

    def steps(
        self, step: Callable[..., Tensor], chunk: int, known: Callable[[], Sequence[Variable]], *, xla: bool = False
    ) -> Steps:
        """Return what makes many steps; see :class:`Steps`."""
        return Steps(step, chunk, known, xla=xla)


class SampledClasses(AllClasses):
    """Each step sees the weights of some identities.

    Args:
        loss: The loss, whose weights are windows.
        descent: What changes them.
        classes: Number of training people.

    Raises:
        NotSampledError: What the optimiser keeps of the windows is neither a number nor of their shape, or begins with
            the weights themselves.
    """

    def __init__(self, loss: Sampled, descent: Descent, classes: int) -> None:
        self._loss, self._classes, self._size = loss, classes, loss.size
        self._random = np.random.default_rng(0)
        shapes = [tuple(window.shape) for window in loss.windows]
        kept = [variable for variable in descent.kept_of_sampled if tuple(variable.shape)]
        if any(tuple(variable.shape) not in shapes or np.ptp(np.asarray(variable)) for variable in kept):
            raise NotSampledError(
                "sampled_classes needs one that keeps, for each weight, numbers which begin alike for all weights; "
                "choose another optimizer for the weights of the loss"
            )
        self._tables = [(self._table(window), window) for window in loss.windows]
        self._kept = [(self._table(variable), variable) for variable in kept]

    def _table(self, window: Variable) -> Variable:
        tf = tensorflow()
        shape = (self._classes, window.shape[0] // self._size, *window.shape[1:])
        return tf.Variable(tf.zeros(shape), trainable=False)

    @property
    def variables(self) -> list[Variable]:
        """The tables: of the weights, then of what the optimiser keeps of them."""
        return [table for table, _ in (*self._tables, *self._kept)]

    def reset(self, seed: int) -> None:
        """Start over; see :class:`AllClasses`."""
        tf = tensorflow()
        self._random = np.random.default_rng(derive_seed("classes", seed))
        for (table, _), rows in zip(self._tables, self._loss.first_rows(seed, self._classes), strict=True):
            table.assign(tf.reshape(rows, table.shape))
        for table, variable in self._kept:
            # An optimiser begins with the same number everywhere: zeros, or in some of Keras a constant.
            table.assign(tf.fill(table.shape, tf.reshape(tf.convert_to_tensor(variable), [-1])[0]))

    def drawn(self, labels: IntArray, count: int) -> Targets:
        """Return what goes into a compiled call: labels within a sample, and the identities of the sample.

        Args:
            labels: int32 (chunk, B).
            count: How many of the batches are used; for the others nothing is drawn.
        """
        within, chosen = np.zeros_like(labels), np.zeros((len(labels), self._size), np.int32)
        for row in range(count):
            chosen[row], within[row] = sample(labels[row], self._size, self._classes, self._random)
        return within, chosen

    def steps(
        self, step: Callable[..., Tensor], chunk: int, known: Callable[[], Sequence[Variable]], *, xla: bool = False
    ) -> Steps:
        """Return what makes many steps, each on the rows of those who take part; see :class:`Steps`.

        XLA, which would copy the tables at every call, compiles what lies between filling the windows and putting them
        back.
        """
        tf = tensorflow()
        between = compiled(step, xla=True) if xla else step

        def sampled(inputs: Tensor, targets: Targets, mean: Tensor, deviation: Tensor) -> Tensor:
            labels, chosen = targets
            for table, window in (*self._tables, *self._kept):
                window.assign(tf.reshape(tf.gather(table, chosen), window.shape))
            value = between(inputs, labels, mean, deviation)
            for table, window in (*self._tables, *self._kept):
                rows = tf.reshape(tf.convert_to_tensor(window), (self._size, *table.shape[1:]))
                tf.raw_ops.ResourceScatterUpdate(resource=table.handle, indices=chosen, updates=rows)
            return value

        return Steps(sampled, chunk, known)


class SampledLoss(PluginLoss):
    """The loss of a plugin, built for as many identities as take part in a step.

    Args:
        plugin: What builds it; see :func:`is_sampled`.
        size: How many take part.
        dim: Numbers per embedding.
        seed: Of what it draws when it is built.
    """

    def __init__(self, plugin: LossPlugin, size: int, dim: int, seed: int) -> None:
        super().__init__(plugin, size, dim, seed)
        self._plugin, self._dim, self.size = plugin, dim, size
        self.windows: list[Variable] = [self.function.proxies]

    def first_rows(self, seed: int, classes: int) -> list[Tensor]:
        """Return the first values of the proxies of so many identities: those of a loss that is built for them."""
        return [build_loss(self._plugin, FEW, self._dim, seed).first_proxies(classes)]


def windows_of(loss: object) -> Sequence[Variable]:
    """Return the weights of a loss that belong to identities who take part in a step; none where all of them do."""
    return loss.windows if isinstance(loss, Sampled) else []


def classes_of(loss: object, descent: Descent, classes: int) -> AllClasses:
    """Return what lets a step see the weights of those identities who take part in it."""
    return SampledClasses(loss, descent, classes) if isinstance(loss, Sampled) else AllClasses()


def is_sampled(plugin: LossPlugin | CombinedLoss, dim: int) -> bool:
    """Return whether a loss has proxies that belong to identities, so that a step may see those of a few.

    Without any weights that belong to identities, there is nothing to sample.

    Raises:
        NotSampledError: It has such weights beside its proxies, or instead of them.
    """
    few, more = (build_loss(plugin, classes, dim, seed=0) for classes in (FEW, MORE))
    shapes = [tuple(each.shape) for each in weights_of(more)]
    of_classes = [each for each, shape in zip(weights_of(few), shapes, strict=False) if tuple(each.shape) != shape]
    if not of_classes and len(weights_of(few)) == len(shapes):
        return False
    if isinstance(plugin, CombinedLoss):
        raise NotSampledError(
            "sampled_classes cannot exchange the weights of a sum of losses; set it to false for this row"
        )
    if not getattr(few, "per_class", 0):
        raise NotSampledError(
            "its weights for each identity are not made by faceexp.layers.proxy_layer, so sampled_classes cannot "
            "exchange them; set it to false for this loss"
        )
    if [id(each) for each in of_classes] != [id(few.proxies)]:
        raise NotSampledError(
            "it keeps more of each identity than its proxies, so sampled_classes cannot exchange it; set it to false "
            "for this loss"
        )
    return True


def loss_of(
    plugin: LossPlugin | CombinedLoss, num_classes: int, dim: int, seed: int, sampled: float | None
) -> PluginLoss | SampledLoss:
    """Return the loss of a plugin in training: for all identities or, where a file asks for that, some at a time."""
    if sampled is None or isinstance(plugin, CombinedLoss) or not is_sampled(plugin, dim):
        return PluginLoss(plugin, num_classes, dim, seed)
    return SampledLoss(plugin, sample_size(sampled, num_classes), dim, seed)


def sample(labels: IntArray, size: int, classes: int, random: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return the identities that take part in a step, and the labels as places among them.

    All of the batch take part; the others are drawn without replacement, each as likely.

    Args:
        labels: int (B,), of at most ``size`` identities.
        size: How many take part.
        classes: How many there are.
        random: What draws.

    Returns:
        ``(chosen, places)``: int (size,), sorted; and int (B,), with ``chosen[places] == labels``.
    """
    takes_part = np.zeros(classes, bool)
    takes_part[labels] = True
    others = np.flatnonzero(~takes_part)
    drawn = random.choice(len(others), size - (classes - len(others)), replace=False, shuffle=False)
    takes_part[others[drawn]] = True
    chosen = np.flatnonzero(takes_part)
    return chosen, np.searchsorted(chosen, labels)
