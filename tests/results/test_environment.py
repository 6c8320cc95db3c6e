"""What a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import faceexp
from faceexp.registry.installed import discover
from faceexp.results import environment as surroundings
from faceexp.results.environment import environment


def test_the_processor_has_a_name_everywhere(monkeypatch):
    assert surroundings._processor()

    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert isinstance(surroundings._processor(), str)


def test_plugins_are_named_once_in_the_order_of_kinds_and_names(resolved):
    losses = {name: faceexp.plugin("loss", name) for name in ("npairs", "contrastive")}
    record = environment(resolved(losses), jobs=3)
    assert [(plugin.kind, plugin.name) for plugin in record.plugins] == [
        ("loss", "contrastive"),
        ("loss", "npairs"),
        ("model", "thin_vgg"),
        ("dataset", "made"),
        ("sampler", "balanced"),
    ]
    sampler = record.plugins[-1]
    assert sampler.distribution == "faceexp-sampler-balanced"
    assert sampler.digest == discover().find("sampler", "balanced").digest
    assert sampler.version == importlib.metadata.version("faceexp-sampler-balanced")
    assert (record.python, record.cores, record.jobs) == (platform.python_version(), os.cpu_count(), 3)
    assert record.packages["numpy"] == importlib.metadata.version("numpy")
