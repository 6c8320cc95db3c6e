"""Every loss gets the same chance: as many trials, steps and images, whatever a file asks for."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.planning.issues import UnplannableError

LOSSES = {
    "contrastive": "margin = {{ low = {low}, high = {high}, log = {log} }}",
    "triplet_margin": "margin = {{ choices = [{low}, {high}] }}",
    "arcface": "scale = {{ low = {low}, high = {high}, step = {step} }}",
    "npairs": "",
}
# Ranges that all losses share, or that they must not: of these batches, some are of another size.
OF_FINETUNE = {
    "nothing": ("", ""),
    "rates": ("learning_rate = { low = 1e-4, high = 1e-2, log = true }\n", ""),
    "kinds": ('trainable = { choices = ["embedding", "all"] }\n', ""),
}
SAMPLERS = {
    "one": '[finetune.sampler]\nplugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n',
    "as many images": (
        "[finetune]\nsampler = { choices = [\n"
        '{ plugin = "balanced", classes_per_batch = 4, images_per_class = 2 },\n'
        '{ plugin = "balanced", classes_per_batch = 2, images_per_class = 4 },\n] }\n'
    ),
    "more images": (
        '[finetune.sampler]\nplugin = "balanced"\nclasses_per_batch = { choices = [4, 6] }\nimages_per_class = 2\n'
    ),
}


@st.composite
def files(draw, text_of):
    """Any search file: losses, ranges, how it is searched."""
    names = draw(st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, max_size=4, unique=True))
    numbers = {
        "low": draw(st.integers(1, 4)) / 2,
        "high": draw(st.integers(5, 40)) / 2,
        "log": draw(st.sampled_from(["true", "false"])),
        "step": draw(st.sampled_from([0.25, 0.5])),
    }
    tables = "".join(f'[[losses]]\nplugin = "{name}"\n{LOSSES[name].format(**numbers)}\n' for name in names)
    sampler = SAMPLERS[draw(st.sampled_from(sorted(SAMPLERS)))]
    before = draw(st.sampled_from(sorted(OF_FINETUNE)))
    finetune = "[finetune]\nsteps = 10\nvalidate_every = 5\n" + OF_FINETUNE[before][0]
    # A table may be written once.
    if sampler.startswith("[finetune]\n"):
        finetune, sampler = finetune + sampler.removeprefix("[finetune]\n"), ""
    seeds = draw(st.lists(st.integers(100, 110), min_size=1, max_size=3, unique=True))
    how = draw(st.sampled_from(["tpe", "random", "grid"]))
    pruner = draw(st.sampled_from(["none", "median", "hyperband"]))
    trials = draw(st.integers(1, 9))
    search = f'trials = {trials}\nsampler = "{how}"\npruner = "{pruner}"\nseeds = {seeds}\n'
    search += f"suggested = {draw(st.sampled_from(['true', 'false']))}\n"
    text = text_of(tables, search=search, finetune=finetune, sampler=sampler)
    return text, trials, len(seeds), pruner


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_under_any_file_every_loss_gets_the_same_trials_steps_and_images(
    data, text_of, searched, counter, tmp_path_factory
):
    text, trials, seeds, pruner = data.draw(files(text_of))
    # Some trainings diverge or fail, which costs the loss its trial and nobody else anything.
    bad = data.draw(st.sampled_from([None, "diverged", "failed"]))
    counter.outcome = lambda trial: bad if bad and trial.seed == 100 and crc32(trial.label.encode()) % 3 == 0 else "ok"
    counter.trained.clear()
    try:
        done = searched(text, tmp_path_factory.mktemp("store"))
    except UnplannableError as error:
        # Refused as a whole: then nobody has had a chance.
        assert not counter.trained
        assert any(
            "every loss sees as many images" in each.message or "nothing to search" in each.message
            for each in error.issues
        )
        return
    assert {len(each.tried) for each in done.searched} == {trials}
    budgets = {budget for trainings in counter.trained.values() for budget in trainings}
    assert budgets == {(each.steps, each.images) for each in done.searched}
    assert len(budgets) == 1
    for each in done.searched:
        made = counter.trained[each.space.label]
        if pruner == "none":
            assert len(made) == trials * seeds
        assert len(made) <= trials * seeds
        assert sum(tried.trainings for tried in each.tried) <= len(made)


TWO = """\
[[losses]]
plugin = "contrastive"
margin = { low = 0.5, high = 20, log = true }
[[losses]]
plugin = "npairs"
"""


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_forty_trials_that_are_interrupted_three_times_are_exactly_forty_and_the_same(
    sampler, pruner, text_of, searched, counter, tmp_path
):
    """The trainer is no longer there in the middle of a round; each time the next process goes on."""
    asked = f'trials = 20\nsampler = "{sampler}"\npruner = "{pruner}"\nseeds = [100, 101, 102]\n'
    text = text_of(TWO, search=asked)
    whole = searched(text, tmp_path / "whole")
    counter.trained.clear()
    for most in (7, 30, 44):
        counter.calls, counter.most = 0, most
        with pytest.raises(KeyboardInterrupt):
            searched(text, tmp_path / "killed")
    counter.most = float("inf")
    done = searched(text, tmp_path / "killed")
    assert [len(each.tried) for each in done.searched] == [20, 20]
    assert [each.tried for each in done.searched] == [each.tried for each in whole.searched]
    assert [each.best for each in done.searched] == [each.best for each in whole.searched]


def test_processes_change_nothing_of_what_is_tried(text_of, searched, counter, tmp_path):
    text = text_of(TWO, search="trials = 8\nseeds = [100, 101, 102]")
    one, several = (searched(text, tmp_path / str(jobs), jobs=jobs) for jobs in (None, 3))
    assert [each.tried for each in one.searched] == [each.tried for each in several.searched]


def test_of_several_faults_the_one_of_the_first_seed_counts_whichever_ends_first(text_of, searched, counter, tmp_path):
    counter.outcome = lambda trial: {100: "diverged", 101: "failed"}[trial.seed]
    text = text_of(TWO, search="trials = 2")
    for jobs in (None, 2):
        for each in searched(text, tmp_path / str(jobs), jobs=jobs).searched:
            assert {tried.state for tried in each.tried} == {"diverged"}


def test_where_every_trial_of_a_loss_fails_it_is_compared_at_its_defaults(text_of, searched, counter, tmp_path):
    counter.outcome = lambda trial: "failed" if "contrastive" in trial.label else "ok"
    done = searched(text_of(TWO), tmp_path)
    assert done.searched[0].best is None
    losses = {loss.entry.label: loss for loss in done.resolved.losses}
    assert "contrastive (defaults)" not in losses
    assert losses["contrastive"].loss.plugin.margin == type(losses["contrastive"].loss.plugin)().margin


def test_rows_that_differ_by_their_names_alone_are_searched_side_by_side(text_of, searched, counter, tmp_path):
    """Each has a journal of its own; with one for both, the second would wait for the first for ever."""
    rows = "".join(f'[[losses]]\nplugin = "contrastive"\nlabel = "{name}"\n' for name in ("one", "two"))
    first, second = searched(text_of(rows), tmp_path).searched
    assert [each.values for each in first.tried] == [each.values for each in second.tried]
    assert len(list(tmp_path.glob("search/*/journal.log"))) == 2


def test_values_that_exclude_each_other_cost_a_trial_and_say_why(text_of, searched, counter, tmp_path):
    """Widths and kernel sizes have to be as many; here each length is in both lists."""
    model = (
        '[model]\nplugin = "thin_vgg"\nembedding_dim = 8\n'
        "widths = { choices = [[4, 4], [4, 4, 4]] }\nkernel_sizes = { choices = [[3, 3], [3, 3, 3]] }\n"
    )
    done = searched(text_of(TWO, model=model, search='trials = 5\nsampler = "grid"\nsuggested = false'), tmp_path)
    assert done.phase1 is not None
    states = {
        (len(each.values["model.widths"]), len(each.values["model.kernel_sizes"])): each for each in done.phase1.tried
    }
    assert {lengths: each.state for lengths, each in states.items()} == {
        (2, 2): "ok",
        (3, 3): "ok",
        (2, 3): "failed",
        (3, 2): "failed",
    }
    assert "kernel_sizes must have one entry for all convolutions or the length of widths" in states[2, 3].reason


def test_phase_1_is_chosen_before_the_losses_and_for_all_of_them(text_of, searched, counter, tmp_path):
    model = '[model]\nplugin = "thin_vgg"\nkernel_sizes = [3]\nwidths = { choices = [[4], [8]] }\nembedding_dim = 8\n'
    pretrain = "[pretrain]\nepochs = { low = 1, high = 3 }\nbatch_size = 12\n"
    done = searched(text_of(TWO, model=model, pretrain=pretrain), tmp_path)
    best = done.phase1.best.values
    assert set(best) == {"model.widths", "pretrain.epochs"}
    assert max(each.score for each in done.phase1.tried) == done.phase1.best.score
    experiment = done.resolved.experiment
    assert experiment.model.options["widths"] == best["model.widths"]
    assert list(done.resolved.model.plugin.widths) == best["model.widths"]
    assert {loss.entry.pretrain.epochs for loss in done.resolved.losses} == {best["pretrain.epochs"]}
    # What was granted in phase 1: epochs of the images of the training part.
    images = min(len(split.train) for split in done_plan(text_of(TWO, model=model, pretrain=pretrain), tmp_path).splits)
    assert done.phase1.images == max(1, round(best["pretrain.epochs"] * images / 12)) * 12


def done_plan(text, root):
    """The plan of the comparison, whose training parts are as large as those of the search."""
    from faceexp.store import Store

    return pipeline.loads(text, "x.toml").plan(Store(root))


def test_there_may_be_ranges_of_phase_1_alone(text_of, searched, counter, tmp_path):
    model = '[model]\nplugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]\nembedding_dim = { low = 4, high = 64, log = true }\n'
    done = searched(
        text_of(
            TWO.replace("margin = { low = 0.5, high = 20, log = true }\n", ""),
            model=model,
            search="suggested = false\ntrials = 4",
        ),
        tmp_path,
    )
    assert (len(done.phase1.tried), done.searched) == (4, ())
    assert [loss.entry.label for loss in done.resolved.losses] == ["contrastive", "npairs"]


def test_where_no_trial_of_phase_1_ends_well_the_run_ends_with_the_reason(text_of, searched, counter, tmp_path):
    counter.outcome = lambda trial: "ok" if trial.loss else "failed"
    model = '[model]\nplugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]\nembedding_dim = { choices = [4, 8] }\n'
    with pytest.raises(UnplannableError, match="no trial of phase 1 has ended well"):
        searched(text_of(TWO, model=model), tmp_path)


def test_a_file_without_a_search_has_nothing_to_search(text_of):
    assert (
        pipeline.loads(
            text_of(TWO.replace("margin = { low = 0.5, high = 20, log = true }\n", ""), search=None), "x"
        ).candidates
        is None
    )
    with pytest.raises(InputError, match="is a range; add"):
        pipeline.loads(text_of(TWO, search=None), "x.toml")
