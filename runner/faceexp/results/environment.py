"""What a run was made with: the machine, the packages, the plugins."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from faceexp.contract import GROUPS
from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord
from faceexp.values import Resolved


def environment(resolved: Resolved, jobs: int = 1) -> EnvironmentRecord:
    """Return the machine, the packages and the plugins a run used, and among how many processes it was divided."""
    chosen = [resolved.dataset, resolved.model]
    chosen += [plugin for loss in resolved.losses for plugin in (loss.loss, loss.sampler)]
    plugins = {(c.installed.kind, c.installed.name): c.installed for c in chosen}
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    order = list(GROUPS)
    used = sorted(plugins.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        jobs=jobs,
        plugins=tuple(
            InstalledPluginRecord(kind=kind, name=name, distribution=found.distribution, version=found.version)
            for (kind, name), found in used
        ),
        packages=dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
