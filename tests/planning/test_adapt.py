"""Defaults that the data cannot serve are made to fit, and said; what the file says is never changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faceexp
from faceexp.data.splits import splits
from faceexp.experiment import toml
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Finetune, PluginRef, Pretrain
from faceexp.planning.adapt import with_fractions
from faceexp.planning.issues import UnplannableError
from faceexp.store import digest


@pytest.fixture
def plan(planned, tmp_path):
    """``plan({"images_per_class": 4}, people=10)``: two losses on some people, with what the file leaves out."""

    def build(sampler=None, *, losses=("contrastive", "npairs"), people=10, images=10, pretrain=None, **tables):
        options = {"plugin": "balanced", **(sampler or {})}
        finetune = Finetune(sampler=PluginRef(plugin=options.pop("plugin"), options=options))
        return planned(
            tmp_path / "store",
            {name: faceexp.plugin("loss", name) for name in losses},
            data={"people": people, "images": images},
            finetune=finetune,
            pretrain=pretrain or Pretrain(),
            **tables,
        )

    return build


def notes(plan):
    return [note.text for note in plan.notes if note.kind == "adapted"]


def test_what_nobody_wrote_fits_ten_people(plan):
    """Six people with ten images each are trained on: neither 64 images a step nor 16 people a batch are there."""
    made = plan()
    assert made.resolved.experiment.pretrain.batch_size == 15  # four steps an epoch
    assert [loss.sampler.supply().classes for loss in made.resolved.losses] == [6, 6]
    assert notes(made) == [
        "defaults that these data cannot serve were made to fit: pretrain.batch_size = 15 (otherwise 64), "
        "classes_per_batch = 6 of sampler 'balanced'; write them in the file to decide yourself"
    ]


def test_replicas_divide_the_batch_that_fits(plan):
    assert plan(pretrain=Pretrain(replicas=2)).resolved.experiment.pretrain.batch_size == 14


def test_what_suits_the_data_stays_as_it_is(plan):
    made = plan(people=40)
    assert made.resolved.experiment.pretrain.batch_size == 64
    assert [loss.sampler.supply().classes for loss in made.resolved.losses] == [16, 16]
    assert notes(made) == []


def test_what_the_file_says_is_a_mistake_where_it_is_impossible(plan):
    with pytest.raises(UnplannableError, match="wants 16 people with 2 images or more in each batch") as caught:
        plan({"classes_per_batch": 16}, pretrain=Pretrain(batch_size=64))
    assert "64 is more than the 60 images of the smallest training part" in str(caught.value)


def test_an_option_that_nobody_wrote_fits_those_that_the_file_gives(plan):
    made = plan({"images_per_class": 10})
    assert {loss.sampler.supply().size for loss in made.resolved.losses} == {60}


@pytest.mark.parametrize(
    ("sampler", "needing_any_batch", "size"),
    [("random", True, 35), ("pairs", True, 34), ("tfsim_multishot", False, 10)],
)
def test_every_sampler_adapts_by_what_it_promises(plan, sampler, needing_any_batch, size):
    """Five people with seven images each are trained on; pairs make even batches."""
    losses = ("proxy_anchor",) if needing_any_batch else ("npairs",)
    (loss,) = plan({"plugin": sampler}, losses=losses, people=9, images=7).resolved.losses
    assert loss.sampler.supply().size == size


def test_a_written_value_and_an_adapted_one_are_the_same_work(plan):
    adapted, written = plan(), plan({"classes_per_batch": 6}, pretrain=Pretrain(batch_size=15))
    assert notes(written) == []
    for one, other in zip(adapted.resolved.losses, written.resolved.losses, strict=True):
        assert digest(one.sampler.identity) == digest(other.sampler.identity)
        assert one.entry.pretrain.model_dump() == other.entry.pretrain.model_dump()
        assert one.entry.label == other.entry.label


def test_what_is_kept_of_the_experiment_holds_the_values_that_were_used(plan):
    again = toml.parse_text(toml.dump(plan().resolved.experiment), "spec.toml").data
    assert again["pretrain"]["batch_size"] == 15
    assert again["finetune"]["sampler"] == {"plugin": "balanced", "classes_per_batch": 6}


def test_six_people_are_enough_for_an_open_set(plan):
    made = plan(people=6)
    (split,) = made.splits
    assert [len(np.unique(made.labels[part])) for part in (split.train, split.validation, split.test)] == [2, 2, 2]
    assert "protocol.test_fraction = 0.333 (otherwise 0.2), protocol.validation_fraction = 0.5" in notes(made)[0]


def test_shares_that_the_file_gives_stay(plan):
    with pytest.raises(UnplannableError, match="6 people leave 1 for test"):
        plan(people=6, protocol=Protocol(kind="open_set", test_fraction=0.2))


def test_five_people_are_too_few_whatever_the_shares(plan):
    with pytest.raises(UnplannableError, match="5 people leave"):
        plan(people=5)


@settings(max_examples=60, deadline=None)
@given(people=st.integers(6, 60), folds=st.integers(1, 8))
def test_every_part_of_an_open_set_has_two_people(people, folds):
    if people // folds < 2 or people - -(-people // folds) < 4:
        return
    labels = np.repeat(np.arange(people, dtype=np.int32), 2)
    protocol = with_fractions(Protocol(kind="open_set", folds=folds), labels)
    for split in splits(labels, protocol, 0):
        for part in (split.train, split.validation, split.test):
            assert len(np.unique(labels[part])) >= 2


@settings(max_examples=40, deadline=None)
@given(images=st.integers(5, 30))
def test_a_closed_set_of_five_images_of_each_person_can_be_judged(images):
    labels = np.repeat(np.arange(3, dtype=np.int32), images)
    (split,) = splits(labels, with_fractions(Protocol(kind="closed_set"), labels), 0)
    for part in (split.validation, split.test):
        assert np.bincount(labels[part]).min() >= 2
    assert np.bincount(labels[split.train]).min() >= 1
