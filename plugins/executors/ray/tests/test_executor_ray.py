import json

import pytest
import ray
from faceexp_executor_ray import Ray
from ray.cluster_utils import Cluster

import faceexp
from faceexp.contract import Jobs, LostError, Needs
from faceexp.errors import InputError
from faceexp.results.events import TrialEnded
from faceexp.testing import ExecutorContract
from faceexp.testing.executor import Made

SPEC = """
name = "on_ray"
seeds = [0, 1]
baselines = ["phase1"]
[dataset]
plugin = "synthetic"
people = 20
images_per_person = 6
size = 32
[preprocess]
size = [32, 32]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
widths = [8]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 1
batch_size = 12
[finetune]
steps = 20
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "npairs"
[[losses]]
plugin = "supcon"
"""


@pytest.fixture(scope="module")
def here():
    """A Ray that the tests of this module share, as a script may have started one: it is left alone."""
    # `open` says to Ray how it has to start; it is what silences Ray's own warnings.
    Ray().open(Jobs("first", None, Needs(), len))
    yield
    ray.shutdown()


@pytest.mark.usefixtures("here")
class TestRayContract(ExecutorContract):
    @pytest.fixture
    def plugin(self):
        return Ray()


@pytest.mark.usefixtures("here")
def test_a_connection_that_was_there_stays(tmp_path):
    Ray().open(Jobs("made", tmp_path / "logs", Needs(), Made(tmp_path))).close()
    assert ray.is_initialized()


@pytest.mark.usefixtures("here")
def test_jobs_that_no_node_has_room_for_are_refused(tmp_path):
    """Ray would let them wait for ever; where a cluster adds nodes, they may wait."""
    large = Jobs("made", tmp_path / "logs", Needs(cpus=4096, memory=1e6), Made(tmp_path))
    with pytest.raises(InputError, match="4,096 cores, 1,000,000,000,000,000 bytes of memory, which no node"):
        Ray().open(large)
    Ray(grows=True).open(large).close()


def test_a_cluster_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray.shutdown()
    with pytest.raises(InputError, match=r"address = 'auto': Could not find any running Ray"):
        Ray(address="auto").open(Jobs("made", tmp_path / "logs", Needs(), Made(tmp_path)))
    assert not ray.is_initialized()


@pytest.fixture
def cluster():
    """Two nodes of one core; the first one is the head."""
    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_lost_node_costs_what_ran_there(cluster, tmp_path):
    """Of two jobs that run side by side, one for each node, the one on the node that goes is lost."""
    executor = Ray(address=cluster.address).open(Jobs("made", tmp_path / "logs", Needs(), Made(tmp_path)))
    futures = executor.submit([("one", 20.0), ("other", 20.0)])
    while len([*tmp_path.glob("begun-*")]) < 2:
        assert not any(future.done() for future in futures)
    cluster.remove_node(next(node for node in cluster.list_all_nodes() if not node.head), allow_graceful=False)
    ends = [future.exception(120) for future in futures]
    assert sorted(type(end).__name__ for end in ends) == ["LostError", "NoneType"]
    lost = next(end for end in ends if isinstance(end, LostError))
    assert "Error: " in str(lost)
    assert "\n" not in str(lost)
    executor.close()


def numbers(run):
    """Return all that a run says of its trials, but for how long they took and what lay in the store."""
    trials = {}
    for path in sorted((run.folder / "trials").glob("*.json")):
        trial = json.loads(path.read_text(encoding="utf-8"))
        trials[path.name] = {key: value for key, value in trial.items() if key not in ("seconds", "reused")}
    return trials


def test_a_run_on_a_cluster_that_loses_a_node_has_the_same_bits(cluster, tmp_path):
    """One thread for each trial, here as there: the results are those of two processes of this machine."""
    file = tmp_path / "on_ray.toml"
    file.write_text(SPEC, encoding="utf-8")
    ended = []

    def on_event(event):
        if isinstance(event, TrialEnded):
            ended.append(event)
            if len(ended) == 3:
                lost = next(node for node in cluster.list_all_nodes() if not node.head)
                cluster.remove_node(lost, allow_graceful=False)

    options = ['executor={plugin="ray"}', f"executor.address={cluster.address}"]
    there = faceexp.load(file, overrides=options).run(tmp_path / "there", store=tmp_path / "s1", on_event=on_event)
    here = faceexp.load(file).run(tmp_path / "here", store=tmp_path / "s2", jobs=2)
    assert len(ended) == 8
    assert {trial.status for trial in there.trials} == {"ok"}
    assert numbers(there) == numbers(here)
