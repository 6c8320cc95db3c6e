"""What a run was made with: the machine, the packages, the plugins."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from faceexp.contract import GROUPS
from faceexp.engine.backend import gpu_of
from faceexp.registry.metadata import installed_versions
from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord
from faceexp.values import Resolved


def environment(resolved: Resolved, jobs: int = 1) -> EnvironmentRecord:
    """Return the machine, the packages and the plugins that a run uses, and how many processes share the work."""
    packages, executor = installed_versions(), resolved.experiment.executor
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        gpu=gpu_of(resolved.experiment.device),
        jobs=jobs,
        executor=executor.plugin if executor else "",
        threads=executor.cpus if executor else None,
        plugins=plugins_of(resolved),
        packages={name: packages[name] for name in sorted(packages, key=str.lower)},
    )


def plugins_of(resolved: Resolved) -> tuple[InstalledPluginRecord, ...]:
    """Return the plugins that a run uses, each once, in the order of kinds and names."""
    plugins = {(plugin.installed.kind, plugin.installed.name): plugin.installed for plugin in resolved.plugins}
    kinds = list(GROUPS)
    return tuple(
        InstalledPluginRecord(
            kind=plugin.kind,
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            digest=plugin.digest,
        )
        for plugin in sorted(plugins.values(), key=lambda plugin: (kinds.index(plugin.kind), plugin.name))
    )


def _processor() -> str:
    """Return the name of the processor. On Linux, Python itself knows only its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
