"""The two-phase engine: from a plan to trained trials.

``trials`` runs them. ``shared`` makes what all losses of a seed and fold start from, ``pretrain`` and ``finetune`` are
the two phases of training, ``baselines`` are the trials without a loss, and ``workers`` divides trials among processes.
No other package trains anything.
"""
