"""Tensor operations that losses share; importing this package does not import TensorFlow.

All of them are plain TensorFlow operations with static control flow, so that they run on CPU and GPU and compile
under XLA. Gradients are finite everywhere, also where two embeddings coincide. Embeddings may come in any precision:
what takes them computes in float32.
"""

from __future__ import annotations

from faceexp.tensors.logits import (
    add_angle,
    arc_margin,
    cosine_logits,
    multiplied_angle,
    replace_targets,
    softmax_cross_entropy,
    target_logits,
)
from faceexp.tensors.pairs import (
    Pairs,
    image_numbers,
    masked_logsumexp,
    masked_mean,
    nonzero_mean,
    pair_distances,
    pair_masks,
    sum_over_positives,
)
from faceexp.tensors.rows import (
    as_float32,
    inner_products,
    normalized,
    pairwise_distances,
    row_norms,
    safe_sqrt,
    squared_distances,
    unit_rows,
)

__all__ = [
    "Pairs",
    "add_angle",
    "arc_margin",
    "as_float32",
    "cosine_logits",
    "image_numbers",
    "inner_products",
    "masked_logsumexp",
    "masked_mean",
    "multiplied_angle",
    "nonzero_mean",
    "normalized",
    "pair_distances",
    "pair_masks",
    "pairwise_distances",
    "replace_targets",
    "row_norms",
    "safe_sqrt",
    "softmax_cross_entropy",
    "squared_distances",
    "sum_over_positives",
    "target_logits",
    "unit_rows",
]
