"""The two files of a run that has searched: what was asked, with every range, and what it has come to."""

from __future__ import annotations

import tomli_w

from faceexp.experiment.lines import TomlTable
from faceexp.experiment.ranges import with_values
from faceexp.experiment.schema import Experiment
from faceexp.experiment.search import Space
from faceexp.experiment.toml import as_table
from faceexp.planning.candidates import Candidates
from faceexp.planning.dimensions import LossSpace

# Behind the name of an experiment whose settings were chosen; a name has at most 100 letters.
TUNED = "-tuned"
MOST_OF_A_NAME = 100 - len(TUNED)


def asked(candidates: Candidates) -> str:
    """Return the experiment as it was asked: with every default filled in, and every range that is searched.

    What plugins suggest is written down as well, so that another version of a plugin changes nothing.
    """
    table = as_table(candidates.experiment)
    shared = {path: _written(space) for path, space in candidates.written.items() if path[0] != "losses"}
    table["losses"] = [
        _with_ranges(_without_what_is_shared(loss, table, candidates.document.data["losses"][space.index]), space)
        for loss, space in zip(table["losses"], candidates.spaces(), strict=True)
    ]
    table["search"]["suggested"] = False
    return tomli_w.dumps(with_values(table, shared))


def _without_what_is_shared(loss: TomlTable, table: TomlTable, written: TomlTable) -> TomlTable:
    """Return the table of a loss without what all losses have alike and the file has not written there.

    Args:
        loss: The table, with every default filled in.
        table: That of the whole file.
        written: What the file has written in the place of the first.
    """
    changed = dict(loss)
    for name in ("pretrain", "finetune"):
        if name in loss:
            of_all, of_file = table[name], written.get(name, {})
            own = {key: value for key, value in loss[name].items() if key in of_file or of_all.get(key) != value}
            changed[name] = own
    return {key: value for key, value in changed.items() if value != {}}


def _with_ranges(loss: TomlTable, space: LossSpace) -> TomlTable:
    """Return the table of a loss with its ranges; of those that it shares with others, the sampler's if it has one."""
    has_sampler = "sampler" in loss.get("finetune", {})
    ranges = {
        each.path: _written(each.space)
        for each in space.dimensions
        if each.place[0] == "losses" or (has_sampler and each.path[:2] == ("finetune", "sampler"))
    }
    return with_values(loss, ranges)


def _written(space: Space) -> TomlTable:
    return space.model_dump(mode="json", exclude_defaults=True)


def settled_experiment(experiment: Experiment) -> Experiment:
    """Return an experiment with the settings that a search has chosen, so that it can be run without searching.

    Args:
        experiment: What is compared after the search: each loss with its chosen settings, and with its default ones.
    """
    losses = tuple(
        loss.model_copy(update={"setting_of": ""}) for loss in experiment.losses if loss.setting_of in ("", loss.label)
    )
    # What stands in the place of a range that all losses share was chosen by nobody.
    finetune = losses[0].finetune if losses else experiment.finetune
    name = f"{experiment.name[:MOST_OF_A_NAME]}{TUNED}"
    return experiment.model_copy(update={"name": name, "search": None, "losses": losses, "finetune": finetune})
