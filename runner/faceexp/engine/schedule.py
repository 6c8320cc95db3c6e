"""Learning rates that change from step to step, computed from the number of the step where training computes."""

from __future__ import annotations

import math
from collections.abc import Callable

from faceexp.engine.backend import Tensor, tensorflow
from faceexp.experiment.optimization import Schedule

# From how many steps were made, float32 (), to the rate of the next one; a constant rate stays a number of Python.
Rate = Callable[[Tensor], "Tensor | float"]


def share_of_rate(schedule: Schedule, step: Tensor, steps: Tensor) -> Tensor:
    """Return what a learning rate is multiplied by at a step, float32 ().

    With warm-up over W of T steps, it is ``min(1, k / W)`` times what the kind says at step k:

    - constant: 1;
    - cosine: ``(1 + cos(pi (k - W) / (T - W))) / 2``, as in I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent
      with warm restarts. ICLR 2017, without the restarts;
    - step: ``factor ** n``, where n milestones are at most k.

    Args:
        schedule: Its kind and numbers; those below 1 are shares of all steps.
        step: How many steps were made, k, float32 ().
        steps: How many there are in all, T, float32 ().
    """
    tf = tensorflow()

    def counted(number: float) -> Tensor:
        return tf.round(number * steps) if number < 1 else tf.constant(number, tf.float32)

    warmup = counted(schedule.warmup)
    share = tf.where(step < warmup, step / tf.maximum(warmup, 1.0), 1.0)
    if schedule.kind == "cosine":
        progress = tf.clip_by_value((step - warmup) / tf.maximum(steps - warmup, 1.0), 0.0, 1.0)
        share *= 0.5 * (1.0 + tf.cos(math.pi * progress))
    if schedule.kind == "step":
        passed = [tf.cast(counted(milestone) <= step, tf.float32) for milestone in schedule.milestones or ()]
        share *= (schedule.factor or 1.0) ** tf.add_n(passed)
    return share


def rate_of(learning_rate: float, schedule: Schedule | None, steps: Tensor) -> Rate:
    """Return the learning rate as a function of how many steps were made.

    Args:
        learning_rate: The rate that the schedule multiplies.
        schedule: How it changes, if it does.
        steps: A variable of how many steps there are in all, float32 ().
    """
    if schedule is None:
        return lambda step: learning_rate  # noqa: ARG005 - it is the same at every step
    return lambda step: learning_rate * share_of_rate(schedule, step, steps)
