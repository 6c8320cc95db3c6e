"""Files that hold a network: is one safe to open, what does it take and give, and the function that runs it.

A network may come from a stranger, and so may its file. Each module knows one format: Keras, ONNX, TensorFlow Lite and
SavedModel. What they share is in ``network``; what makes features of pixels with any of them is in ``features``.
"""
