"""What a run was made with: the machine, the packages, the plugins."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from faceexp.contract import GROUPS
from faceexp.values import Resolved


def environment(resolved: Resolved, jobs: int = 1) -> dict[str, Any]:
    """Return the machine, the packages and the plugins a run used, and among how many processes it was divided."""
    chosen = [resolved.dataset, resolved.model]
    chosen += [plugin for loss in resolved.losses for plugin in (loss.loss, loss.sampler)]
    plugins = {(c.found.kind, c.found.name): c.found for c in chosen}
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "jobs": jobs,
        "plugins": [
            {"kind": kind, "name": name, "distribution": found.distribution, "version": found.version}
            for (kind, name), found in sorted(
                plugins.items(), key=lambda item: (list(GROUPS).index(item[0][0]), item[0][1])
            )
        ],
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
