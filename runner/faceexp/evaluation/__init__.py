"""From embeddings to metrics.

Validation images give the threshold and choose the checkpoint; test images are only judged. NumPy alone is used, but
for the logistic regression of ``calibration``.
"""
