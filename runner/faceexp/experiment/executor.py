"""The table ``[executor]``: where trials run, and what each takes there."""

from __future__ import annotations

from pydantic import Field

from faceexp.experiment.table import PluginRef


class ExecutorRef(PluginRef):
    """The plugin that runs trials elsewhere, and what each trial takes there; none of it changes a setting of one."""

    cpus: int = Field(
        1, ge=1, le=4096, description="Cores for each job; libraries use as many threads, which decides the last bits."
    )
    gpus: int = Field(0, ge=0, le=64, description="GPUs for each job.")
    memory: float | None = Field(
        None, gt=0, le=100_000, description="Gigabytes for each job; without it, whatever is usual there."
    )
    minutes: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="How long a job may take for each of its trials, phase 1 included, before it is ended there.",
    )
    trials_per_job: int = Field(
        1,
        ge=1,
        le=10_000,
        description="How many trials of a seed and fold one job does, one after the other. With more, fewer jobs wait "
        "in a queue; with fewer, less is done again where one is lost.",
    )
