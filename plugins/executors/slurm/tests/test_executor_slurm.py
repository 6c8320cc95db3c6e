import contextlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import faceexp_executor_slurm
import pytest
from faceexp_executor_slurm import Slurm

from faceexp.contract import Jobs, LostError, Needs
from faceexp.errors import InputError
from faceexp.pipeline import loads
from faceexp.testing import ExecutorContract
from faceexp.testing.executor import PATIENCE, Made, opened

FAKE = Path(__file__).with_name("fake_slurm.py")
on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it finds processes as Linux lists them")


class TestSlurmContract(ExecutorContract):
    """Processes of this machine, as submitit starts them without a cluster."""

    @pytest.fixture
    def plugin(self):
        return Slurm(cluster="local", at_once=2)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a cluster whose commands come first on the path."""
    folder = tmp_path / "slurm"
    (folder / "bin").mkdir(parents=True)
    for command in ("sbatch", "srun", "sacct", "scancel", "slurmd"):
        file = folder / "bin" / command
        file.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setattr(faceexp_executor_slurm, "BETWEEN_QUESTIONS", 0.5)
    monkeypatch.setattr(faceexp_executor_slurm, "DELAY", 0.0)
    return folder


class TestSlurmContractOnACluster(ExecutorContract):
    """The commands of Slurm, as a script that stands for them does what they are asked for."""

    @pytest.fixture
    def plugin(self, slurm):
        return Slurm(at_once=1)


def asked(slurm, command):
    """Return what a command was called with, each time."""
    lines = [json.loads(line) for line in (slurm / "asked.jsonl").read_text().splitlines()]
    return [arguments for name, *arguments in lines if name == command]


def script_options(slurm):
    """Return the options in the scripts that were submitted."""
    lines = [line for file in sorted(slurm.glob("*.sh")) for line in file.read_text().splitlines()]
    return [option for line in lines if line.startswith("#SBATCH") for option in shlex.split(line)[1:]]


def deadly():
    """Return a call whose process is killed by the jobs that say so, as a node that fails does it.

    It is made here, so that it travels as it is: other processes cannot import a module of tests.
    """

    def call(job):
        if job == "dies":
            print("the node is on fire", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    return call


def test_a_killed_process_is_lost_and_the_others_are_not(tmp_path):
    """Of three jobs, one is killed: its error says so, and where its log is; that log is there after the end."""
    executor = Slurm(cluster="local", at_once=2).open(Jobs("made", tmp_path / "logs", Needs(), deadly()))
    with contextlib.closing(executor):
        well, dies, also_well = executor.submit(["well", "dies", "also well"])
        with pytest.raises(LostError, match="it was killed") as lost:
            dies.result(PATIENCE)
        assert [well.result(PATIENCE), also_well.result(PATIENCE)] == ["well", "also well"]
    assert str(lost.value).endswith("ends with: the node is on fire")
    log = re.search(r"its log is (\S+)", str(lost.value))[1]
    assert Path(log).parent == tmp_path / "logs"
    assert Path(log).read_text() == "the node is on fire\n"


def test_a_process_whose_time_is_over_is_lost(tmp_path):
    """Give a job that takes a minute three seconds, as Slurm ends what takes longer than was asked for."""
    executor = Slurm(cluster="local").open(Jobs("made", tmp_path / "logs", Needs(minutes=0.05), Made(tmp_path)))
    with contextlib.closing(executor), pytest.raises(LostError, match="its time was over"):
        executor.submit([("long", 60.0)])[0].result(PATIENCE)
    assert not (tmp_path / "ended-long").exists()


def test_every_end_of_slurm_is_a_loss_with_its_reason(slurm, tmp_path):
    """Let the jobs of an array end in each state that Slurm knows: the errors say what it means."""
    ends = {
        "NODE_FAIL": "its node failed",
        "TIMEOUT": "`minutes` asks for more",
        "OUT_OF_MEMORY": "`memory` asks for more",
        "PREEMPTED": "another job took its place",
        "CANCELLED by 1000": "it was cancelled",
        "FAILED": "it ended with an error",
    }
    (slurm / "ends").write_text(json.dumps(dict(zip("012345", ends, strict=True))))
    executor = Slurm().open(Jobs("made", tmp_path / "logs", Needs(), deadly()))
    with contextlib.closing(executor):
        *futures, well = executor.submit([*["dies"] * len(ends), "well"])
        for future, reason in zip(futures, ends.values(), strict=True):
            with pytest.raises(LostError, match=reason):
                future.result(PATIENCE)
        assert well.result(PATIENCE) == "well"


def begun(folder, job):
    """Wait until a job of the suite's call has begun."""
    deadline = time.monotonic() + PATIENCE
    while not (folder / f"begun-{job}").exists():
        assert time.monotonic() < deadline, f"the job {job!r} does not begin"
        time.sleep(0.05)


@on_linux
def test_a_warning_before_the_end_of_its_time_ends_no_job(slurm, tmp_path):
    """Slurm warns a job a while before its time is over; submitit alone would end it then."""
    with opened(Slurm(), tmp_path) as executor:
        (future,) = executor.submit([("warned", 2.0)])
        begun(tmp_path, "warned")
        os.kill(process_of_a_job(slurm), signal.SIGUSR2)
        assert future.result(PATIENCE)[0] == "warned"


@on_linux
def test_a_job_that_is_asked_to_end_has_no_result(slurm, tmp_path):
    """Slurm asks before it kills; submitit alone would go on, and take the end of a worker for a fault of its trial."""
    (slurm / "ends").write_text(json.dumps({"None": "TIMEOUT"}))
    with opened(Slurm(), tmp_path) as executor:
        (future,) = executor.submit([("asked", 60.0)])
        begun(tmp_path, "asked")
        os.kill(process_of_a_job(slurm), signal.SIGTERM)
        with pytest.raises(LostError, match="its time was over"):
            future.result(PATIENCE)
    assert not (tmp_path / "ended-asked").exists()


def process_of_a_job(slurm):
    """Return the process in which submitit does the only job of a cluster: the innermost one."""
    (pid,) = [int(file.read_text()) for file in slurm.glob("*.pid")]
    while below := children(pid):
        (pid,) = below
    return pid


def children(pid):
    """Return the processes that a process has started, as Linux lists them."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def test_closing_cancels_what_is_there_and_leaves_only_logs(slurm, tmp_path):
    """Close while one job of an array runs: Slurm is asked to cancel by a name that no other run has."""
    with opened(Slurm(at_once=1), tmp_path) as executor:
        executor.submit([("first", 0.0), ("long", 60.0), ("never", 0.0)])[0].result(PATIENCE)
        begun(tmp_path, "long")
    ((cancelled,),) = asked(slurm, "scancel")
    assert f"--job-{cancelled.removeprefix('--')}" in script_options(slurm)
    assert not (tmp_path / "ended-long").exists()
    assert {file.suffix for file in (tmp_path / "logs").iterdir()} == {".err", ".out", ".sh"}


def test_sbatch_is_given_what_a_job_needs(slurm, tmp_path):
    """Say everything: cores, GPUs, memory in 10^9 bytes where Slurm counts 2^20, minutes, and each option."""
    needs = Needs(cpus=4, gpus=1, memory=16, minutes=90.5)
    plugin = Slurm(
        partition="gpu",
        account="faces",
        qos="high",
        constraint="a100|h100",
        at_once=7,
        setup=("module load cuda",),
        additional={"mail-type": "END", "nice": "100", "exclusive": ""},
    )
    (slurm / "refusal").write_text("")
    executor = plugin.open(Jobs("a-run", tmp_path / "logs", needs, Made(tmp_path)))
    with contextlib.closing(executor), pytest.raises(InputError):
        executor.submit([("made", 0.0)] * 20)
    options = script_options(slurm)
    assert set(options) >= {
        "--cpus-per-task=4",
        "--gpus-per-node=1",
        "--mem=15259M",
        "--time=91",
        "--partition=gpu",
        "--account=faces",
        "--qos=high",
        "--constraint=a100|h100",
        "--array=0-19%7",
        "--mail-type=END",
        "--nice=100",
        "--exclusive",
        "--no-requeue",
    }
    assert any(re.fullmatch(r"--job-name=a-run-[0-9a-f]{8}", option) for option in options)
    (script,) = [file.read_text() for file in slurm.glob("*.sh")]
    assert "\nmodule load cuda\n" in script
    assert f"--cpus-per-task=4 {sys.executable}" in script  # what srun is told, too


def test_what_the_file_does_not_say_is_left_to_the_partition(slurm, tmp_path):
    """Without minutes and memory, neither is asked for: submitit's own five minutes would end most trials."""
    with opened(Slurm(), tmp_path) as executor:
        assert executor.submit([("made", 0.0)])[0].result(PATIENCE)[0] == "made"
    names = {option.partition("=")[0] for option in script_options(slurm)}
    assert not names & {"--time", "--mem", "--gpus-per-node", "--partition", "--account", "--qos", "--wckey"}


def test_more_jobs_than_an_array_may_have_are_several_arrays(slurm, tmp_path):
    """Five jobs are two arrays of two and a job; each gets the result of its own."""
    with opened(Slurm(array_size=2), tmp_path) as executor:
        futures = executor.submit([(name, 0.0) for name in "abcde"])
        assert [future.result(PATIENCE)[0] for future in futures] == list("abcde")
    arrays = [option for option in script_options(slurm) if option.startswith("--array")]
    assert arrays == ["--array=0-1%2"] * 2
    assert len(asked(slurm, "sbatch")) == 3


def test_no_more_jobs_are_in_the_queue_than_a_site_allows(slurm, tmp_path):
    """With room for one, the second job is submitted when the first has ended."""
    with opened(Slurm(in_queue=1), tmp_path) as executor:
        futures = executor.submit([("first", 0.0), ("second", 0.0)])
        assert len(asked(slurm, "sbatch")) == 1
        assert [future.result(PATIENCE)[0] for future in futures] == ["first", "second"]
    assert len(asked(slurm, "sbatch")) == 2


def test_what_sbatch_says_is_told(slurm, tmp_path, capfd):
    """Ask for a partition that does not exist: the error has Slurm's words, and nothing else is printed."""
    (slurm / "refusal").write_text("sbatch: error: invalid partition specified: no_such")
    with opened(Slurm(partition="no_such"), tmp_path) as executor, pytest.raises(InputError) as refused:
        executor.submit([("made", 0.0)])
    assert str(refused.value) == "Slurm refuses jobs: sbatch: error: invalid partition specified: no_such"
    assert capfd.readouterr() == ("", "")


def test_without_slurm_one_line_says_what_to_do(tmp_path, monkeypatch):
    """Where there is no sbatch, the error names the way to try it without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r'there is no sbatch on this machine; .* executor.cluster = "local"'):
        Slurm().open(Jobs("made", tmp_path / "logs", Needs(), Made(tmp_path)))


def test_slurm_without_accounting_is_refused(slurm, tmp_path):
    """Nothing but sacct says that a job was lost; a run would wait for it for good."""
    (slurm / "bin" / "sacct").write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    with pytest.raises(InputError, match="sacct does not work here, .* Slurm accounting storage is disabled"):
        Slurm().open(Jobs("made", tmp_path / "logs", Needs(), Made(tmp_path)))


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


@on_linux
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
