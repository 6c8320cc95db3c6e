"""A run that searches, from the command line: what it says, what it leaves, and what is shown of it afterwards."""

from __future__ import annotations

import pytest

pytest.importorskip("optuna")

SPEC = """
name = "searched"
seeds = [0, 1]
baselines = []
[dataset]
plugin = "synthetic"
people = 16
images_per_person = 6
size = 16
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 1
[finetune]
steps = 10
validate_every = 5
learning_rate = { low = 1e-4, high = 1e-1, log = true }
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
[search]
trials = 3
sampler = "random"
seeds = [100]
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "npairs"
"""


@pytest.fixture
def places(tmp_path):
    spec = tmp_path / "searched.toml"
    spec.write_text(SPEC, encoding="utf-8")
    return spec, ("--out", tmp_path / "runs", "--store", tmp_path / "store")


def test_a_run_that_searches(command, places, tmp_path):
    spec, where = places
    code, out, err = command("run", spec, "--dry-run", *where[2:])
    assert code == 0
    assert "6 trainings of settings, before the trials" in out
    code, out, err = command("run", spec, *where)
    assert code == 0
    log = " ".join(err.split())
    assert "each of the 2 losses gets the same: 3 trials x 1 seed x 1 fold = 3 trainings, each of 10 steps and" in log
    assert "every loss finetune.learning_rate 0.0001 to 0.1, by orders of magnitude" in log
    assert "people who are tested took part in the search for settings" in log
    assert "search: 6 of 6 trials done, best validation scores" in log
    assert "chosen on validation people" in log
    assert "what was tried of each loss, and what that gained: faceexp report" in log
    (folder,) = (tmp_path / "runs").iterdir()

    code, out, _ = command("report", folder, "--search")
    assert code == 0
    assert "Each loss was given 3 trials x 1 seed x 1 fold = 3 trainings" in out
    assert "finetune.learning_rate" in out
    assert '<h2 id="search">' in (folder / "report.html").read_text(encoding="utf-8")

    # What was asked asks for the same, and what was chosen needs no search: all of it is in the store.
    again = command("run", folder / "spec.toml", "--dry-run", *where[2:])[1]
    assert "6 trainings of settings, before the trials, of which 6 are finished" in " ".join(again.split())
    tuned = " ".join(command("run", folder / "tuned.toml", "--dry-run", *where[2:])[1].split())
    assert "trials 4, of which 4 are finished" in tuned
    assert "search" not in tuned


def test_without_a_search_there_is_nothing_to_show(command, places):
    spec, where = places
    plain = SPEC.replace("{ low = 1e-4, high = 1e-1, log = true }", "0.001")
    plain = plain.replace('[search]\ntrials = 3\nsampler = "random"\nseeds = [100]\n', "").replace(
        "steps = 10", "steps = 5"
    )
    spec.write_text(plain, encoding="utf-8")
    assert command("run", spec, *where)[0] == 0
    (folder,) = where[1].iterdir()
    assert not (folder / "tuned.toml").exists()
    code, _, err = command("report", folder, "--search")
    assert code == 2
    assert "--search: no settings were searched for here; [search] does that" in err
