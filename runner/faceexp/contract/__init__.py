"""The plugin contract: the base classes that plugin authors import.

A plugin is a frozen pydantic model named by an entry point. **Its fields are its TOML options**; the first line of its
docstring is its summary; ``build(...)`` makes the thing. Importing a plugin module must not import TensorFlow: heavy
imports live inside ``build``. The groups are ``faceexp.losses``, ``.models``, ``.datasets``, ``.samplers``,
``.detectors``, ``.trackers`` and ``.executors``.

>>> from typing import ClassVar
>>> class Squared(LossPlugin):
...     '''Mean squared norm of the embeddings (an example, not a useful loss).'''
...     reference: ClassVar[str] = "this docstring"
...     distance: ClassVar[Distance] = "euclidean"
...     weight: float = option(1.0, "Factor before the mean.", unit="none", gt=0)
...
...     def build(self, ctx):
...         import tensorflow as tf
...         from faceexp.tensors import as_float32
...         return lambda labels, embeddings: self.weight * tf.reduce_mean(as_float32(embeddings) ** 2)
"""

from __future__ import annotations

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.contract.datasets import (
    DatasetPlugin,
    FaceData,
    FacePairs,
    StoredImage,
    choose_people,
    people_of_pairs,
    too_few_people,
)
from faceexp.contract.detectors import DetectorPlugin, Face, Hint, Points
from faceexp.contract.executors import Executor, ExecutorPlugin, Jobs, LostError, Needs
from faceexp.contract.losses import Distance, LossContext, LossFunction, LossPlugin, LossTraits, pair_traits
from faceexp.contract.models import FixedModelPlugin, ModelPlugin
from faceexp.contract.plugin import GROUPS, RESERVED, RESERVED_OF_KIND, Plugin, option
from faceexp.contract.samplers import BatchNeeds, BatchSupply, Halves, SamplerPlugin
from faceexp.contract.trackers import (
    Setting,
    TrackedEnd,
    TrackedPoint,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrackerPlugin,
)
from faceexp.files import AnyPath, InputFile, InputFolder, files_fingerprint, image_extensions, readable_name, user_path

# Everything here, and the names of array types, is what plugin authors import.
__all__ = [
    "GROUPS",
    "RESERVED",
    "RESERVED_OF_KIND",
    "AnyPath",
    "BatchNeeds",
    "BatchSupply",
    "ByteArray",
    "DatasetPlugin",
    "DetectorPlugin",
    "Distance",
    "Executor",
    "ExecutorPlugin",
    "Face",
    "FaceData",
    "FacePairs",
    "FixedModelPlugin",
    "FloatArray",
    "Halves",
    "Hint",
    "InputFile",
    "InputFolder",
    "IntArray",
    "Jobs",
    "LossContext",
    "LossFunction",
    "LossPlugin",
    "LossTraits",
    "LostError",
    "ModelPlugin",
    "Needs",
    "Plugin",
    "Points",
    "SamplerPlugin",
    "Setting",
    "StoredImage",
    "TrackedEnd",
    "TrackedPoint",
    "TrackedRun",
    "TrackedTrial",
    "Tracker",
    "TrackerPlugin",
    "choose_people",
    "files_fingerprint",
    "image_extensions",
    "option",
    "pair_traits",
    "people_of_pairs",
    "readable_name",
    "too_few_people",
    "user_path",
]
