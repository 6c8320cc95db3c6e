"""Fixtures of every test of the repository, the core's and the plugins'."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Before TensorFlow is imported by anything: its greetings do not belong into a test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

ORACLES = Path(__file__).parent / "tests" / "oracles"


def _oracle_loader() -> Any:
    spec = importlib.util.spec_from_file_location("faceexp_oracles", ORACLES / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracle_cases() -> Callable[..., Iterator[dict[str, Any]]]:
    """Reference values of losses: ``oracle_cases(source="pml", loss="ContrastiveLoss", status="ok")``."""
    loader = _oracle_loader()
    return lambda **where: loader.load_cases(str(ORACLES), **where)


@pytest.fixture(scope="session")
def oracle_metrics() -> dict[str, Any]:
    """Reference values of verification and retrieval metrics."""
    return dict(_oracle_loader().load_metrics(str(ORACLES)))


@pytest.fixture(scope="session")
def oracle_batches() -> dict[str, Any]:
    """Batches of embeddings and labels on which the reference values were computed."""
    return dict(_oracle_loader().load_batches(str(ORACLES)))
