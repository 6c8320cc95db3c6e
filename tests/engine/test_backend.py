"""Seeds, what determines numbers, and when TensorFlow is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from faceexp.engine.backend import derive_seed, versions


def test_seeds_for_different_purposes_differ():
    drawn = [
        derive_seed(name, seed, fold) for name in ("weights", "batches") for seed in range(50) for fold in range(5)
    ]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert derive_seed("weights", 0, 0) == drawn[0]


def test_versions_name_what_determines_numbers():
    assert {"tensorflow", "keras", "numpy", "engine"} <= set(versions())


def test_importing_the_engine_does_not_import_tensorflow(tmp_path):
    code = "import sys, faceexp.engine, faceexp.pipeline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=Path(tmp_path)).returncode == 0
