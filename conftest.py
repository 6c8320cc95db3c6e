"""Fixtures of every test of the repository, the core's and the plugins'."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from faceexp.contract import GROUPS

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


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[..., Path]]:
    """Install a distribution of one plugin for a test: ``install("some-dist", "loss", "name", source)``.

    What pip would leave behind: a module, and beside it the metadata that name its class ``Plugin``.
    """
    modules = []

    def build(distribution: str, kind: str, name: str, source: str, version: str = "1.0") -> Path:
        module = distribution.replace("-", "_")
        folder = tmp_path / f"site-{module}"
        metadata = folder / f"{module}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUPS[kind]}]\n{name} = {module}:Plugin\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        modules.append(module)
        return folder / f"{module}.py"

    yield build
    for module in modules:
        sys.modules.pop(module, None)


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
