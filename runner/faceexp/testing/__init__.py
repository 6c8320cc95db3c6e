"""Conformance suites for plugin authors: subclass one, give it a plugin, and pytest runs every check.

>>> class TestMyLoss(LossContract):
...     @pytest.fixture
...     def plugin(self):
...         return MyLoss(margin=0.5)

Each check is a test method; its docstring says what it demands. A plugin that cannot keep one names it, with a reason:

>>> class TestMyLoss(LossContract):
...     skips = {"test_order_of_rows_does_not_matter": "anchors are the rows of even number"}

This package needs pytest (``pip install "faceexp[testing]"``); nothing else of faceexp imports it.
"""

from faceexp.testing.dataset import DatasetContract
from faceexp.testing.detector import DetectorContract
from faceexp.testing.executor import ExecutorContract
from faceexp.testing.fixed_model import FixedModelContract
from faceexp.testing.loss import LossContract
from faceexp.testing.model import ModelContract
from faceexp.testing.plugin import PluginContract
from faceexp.testing.sampler import SamplerContract
from faceexp.testing.tracker import TrackerContract

__all__ = [
    "DatasetContract",
    "DetectorContract",
    "ExecutorContract",
    "FixedModelContract",
    "LossContract",
    "ModelContract",
    "PluginContract",
    "SamplerContract",
    "TrackerContract",
]
