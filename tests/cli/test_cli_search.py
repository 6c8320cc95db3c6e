"""A run that searches, from the command line: what it says, what it leaves, and what is shown of it afterwards."""

from __future__ import annotations

import re

import pytest
from faceexp_loss_contrastive import Contrastive

pytest.importorskip("optuna")

RATE = "steps = 10\nlearning_rate = { low = 1e-4, high = 1e-1, log = true }"
SEARCH = '[search]\ntrials = 3\nsampler = "random"\nseeds = [100]\n'


@pytest.fixture
def places(tmp_path, small_spec, face_folder):
    spec = tmp_path / "searched.toml"
    text = small_spec("searched", face_folder, "contrastive", "npairs").replace("steps = 10", RATE)
    spec.write_text(text + SEARCH, encoding="utf-8")
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
    assert "trials 8, of which 8 are finished" in tuned
    assert "search" not in tuned

    # The card of a model with default settings has these, not those that were chosen.
    (model,) = (folder / "models").glob("contrastive-defaults-*")
    assert command("export", model, tmp_path / "exported", "--to", "keras")[0] == 0
    (loss,) = re.findall("- Loss: .*", (tmp_path / "exported" / "MODEL_CARD.md").read_text(encoding="utf-8"))
    margin = Contrastive().margin
    assert loss.startswith("- Loss: `contrastive` (faceexp-loss-contrastive")
    assert f"`margin = {margin}`" in loss


def test_without_a_search_there_is_nothing_to_show(command, places):
    spec, where = places
    plain = spec.read_text(encoding="utf-8").replace(SEARCH, "").replace(RATE, "steps = 10")
    spec.write_text(plain, encoding="utf-8")
    assert command("run", spec, *where)[0] == 0
    (folder,) = where[1].iterdir()
    assert not (folder / "tuned.toml").exists()
    code, _, err = command("report", folder, "--search")
    assert code == 2
    assert "--search: no settings were searched for here; [search] does that" in err
