import json
import os
import signal
import threading
from pathlib import Path

import pytest

from faceexp.pipeline import loads

EXPERIMENT = """
name = "one_job_dies"
seeds = [0, 1]

[dataset]
plugin = "synthetic"
people = 24
images_per_person = 8
size = 32

[protocol]
kind = "open_set"

[preprocess]
size = [32, 32]

[model]
plugin = "thin_vgg"
embedding_dim = 8

[pretrain]
epochs = 1

[finetune]
steps = 20

[finetune.sampler]
plugin = "balanced"
classes_per_batch = 8
images_per_class = 2

[[losses]]
plugin = "contrastive"

[[losses]]
plugin = "npairs"

[[losses]]
plugin = "supcon"
"""


def trials(run):
    """Return the records of the trials, without how long they took and what was in the store."""
    records = {}
    for file in sorted(Path(run.folder, "trials").glob("*.json")):
        record = json.loads(file.read_text())
        for key in ("seconds", "reused"):
            del record[key]
        records[file.name] = record
    return records


def children(pid):
    """Return the processes that a process has started, as Linux lists them."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kill_one_job(store, over, killed):
    """Kill what does the third job, the first of which are rehearsals, as soon as it has a worker."""
    jobs = []
    while not over.wait(0.02):
        for file in store.glob("jobs/*/logs/*_submitted.pkl"):
            number = int(file.name.partition("_")[0])  # submitit calls a job like its process
            jobs += [] if number in jobs else [number]
        for child in children(jobs[2]) if len(jobs) > 2 else []:
            if len(children(child)) > 1:  # the worker, and what keeps track of its resources
                os.kill(child, signal.SIGKILL)
                killed.set()
                return


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it looks for processes as Linux lists them")
def test_a_run_whose_job_is_killed_has_the_results_of_any_other(tmp_path):
    """Train three losses on two seeds in jobs, one of which is killed: every number is that of the executor local."""
    overrides = ('executor={plugin="slurm", cluster="local", at_once=2, trials_per_job=4}',)
    over, killed, notes = threading.Event(), threading.Event(), []
    killer = threading.Thread(target=kill_one_job, args=(tmp_path / "store", over, killed))
    killer.start()
    try:
        run = loads(EXPERIMENT, "spec.toml", overrides=overrides).run(
            tmp_path / "jobs",
            store=tmp_path / "store",
            on_event=lambda event: notes.append(getattr(event, "note", None)),
        )
    finally:
        over.set()
        killer.join()
    assert killed.is_set()
    (lost,) = [note.text for note in notes if note and note.text.startswith("executor 'slurm'")]
    assert "a job was lost (job " in lost
    assert "it was killed, or its time was over (FINISHED); its log is " in lost

    overrides = ('executor={plugin="local", processes=2, trials_per_job=4}',)
    other = loads(EXPERIMENT, "spec.toml", overrides=overrides).run(tmp_path / "local", store=tmp_path / "other store")
    assert len(trials(run)) == 14
    assert trials(run) == trials(other)
