"""From embeddings to metrics.

Validation images give the threshold and choose the checkpoint; test images are only judged. Everything is computed with
NumPy alone, except for the logistic regression of ``calibration``, which is scikit-learn's.
"""
