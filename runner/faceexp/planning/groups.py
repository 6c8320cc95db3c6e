"""The groups of people, or of images, that columns of the data make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from faceexp.arrays import AnyArray, BoolArray, IntArray
from faceexp.contract import FaceData
from faceexp.data.groups import Groups
from faceexp.errors import did_you_mean, printable
from faceexp.experiment.groups import Grouping
from faceexp.planning.issues import Issue, UnplannableError
from faceexp.values import Note

# With more groups than this, hardly any would have enough people, and no picture could be read. A column of so many
# values is rather one of names or of measurements.
MOST_GROUPS = 20
# What is called so in the data is no property of a person or an image that makes groups.
LANDMARKS = "landmarks"


def check_groups(data: FaceData, asked: Sequence[str], sets: Sequence[FaceData] = ()) -> None:
    """Refuse columns that the data lack, or whose values make no groups, before anything is decoded.

    Args:
        data: The data set.
        asked: Texts, as :class:`Grouping` reads them.
        sets: The data of test sets. It is enough if one of them has a column.

    Raises:
        UnplannableError: With an issue for each of them.
    """
    issues = [
        Issue(("evaluation", "groups", place), message)
        for place, text in enumerate(asked)
        if (message := fault_of(data.columns, text)) and all(fault_of(each.columns, text) for each in sets)
    ]
    if issues:
        raise UnplannableError(issues)


def fault_of(columns: Mapping[str, AnyArray], text: str) -> str:
    """Return why the column that a text names makes no groups; nothing if it does."""
    grouping = Grouping.of(text)
    name = grouping.column
    return missing_column(columns, name) or _unfit(columns[name], grouping)


def missing_column(columns: Mapping[str, AnyArray], name: str) -> str:
    """Return that the data lack a column; nothing if they have it."""
    known = sorted(columns.keys() - {LANDMARKS})
    if name in known:
        return ""
    if not known:
        return f"the data set has no columns, so there is no {name!r}; a CSV or Parquet list of images has some"
    has = f"its columns: {', '.join(known[:MOST_GROUPS])}{', ...' if len(known) > MOST_GROUPS else ''}"
    hint = did_you_mean(name, known, always_list=False)
    return f"the data set has no column {name!r}; {f'{hint} ' if hint else ''}{has}"


def _unfit(values: AnyArray, grouping: Grouping) -> str:
    """Return why the values of a column make no groups; nothing if they do."""
    name = grouping.column
    are_numbers = values.dtype.kind in "iuf"
    if grouping.edges:
        return "" if are_numbers else f"column {name!r} holds no numbers, so bands do not fit; write {name!r} alone"
    known_values = values[is_known(values)]
    different = len(np.unique(known_values))
    if different < 2:
        only = f"only the value {_name(known_values[0])!r}" if different else "no value"
        return f"column {name!r} has {only}, so there are no groups to compare"
    if different <= MOST_GROUPS:
        return ""
    text = f"column {name!r} has {different:,} different values, more than the {MOST_GROUPS} groups that are compared"
    if not are_numbers:
        return f"{text}; name a column of fewer"
    low, middle, high = np.floor(known_values.min()), np.median(known_values), np.ceil(known_values.max())
    return f'{text}; write the edges of bands, such as "{name}:{low:g}-{middle:g}-{high:g}"'


def groups_of(columns: Mapping[str, AnyArray], labels: IntArray, asked: Sequence[str]) -> tuple[Groups, ...]:
    """Return the groups that each of the named columns makes; :func:`check_groups` knows that it makes some.

    Where all that is known of a person is one value, it is the person's, also on images of which it is not known.

    Args:
        columns: What is known of the images that are used.
        labels: int (N,), whom they show.
        asked: Texts, as :class:`Grouping` reads them.
    """
    return tuple(_groups(columns[grouping.column], labels, grouping) for grouping in map(Grouping.of, asked))


def _groups(values: AnyArray, labels: IntArray, grouping: Grouping) -> Groups:
    group = np.full(len(values), -1)
    known = is_known(values)
    names: tuple[str, ...]
    if grouping.edges:
        names = grouping.bands
        group[known] = _bands(values[known], np.array(grouping.edges))
    else:
        present, group[known] = np.unique(values[known], return_inverse=True)
        names = tuple(_name(value) for value in present)
    people = int(labels.max(initial=-1)) + 1
    lowest, highest = np.full(people, len(names)), np.full(people, -1)
    np.minimum.at(lowest, labels[known], group[known])
    np.maximum.at(highest, labels[known], group[known])
    of_people = bool((lowest >= highest).all())
    group = highest[labels] if of_people else group
    # What lies in no band differs from what lies in one, and is in no group.
    return Groups(grouping.column, names, np.where(group < len(names), group, -1), of_people)


def _bands(values: AnyArray, edges: AnyArray) -> IntArray:
    """Return the band of each number; that behind the last one stands for all numbers in none."""
    band: IntArray = np.searchsorted(edges, values, side="right") - 1
    band[values == edges[-1]] = len(edges) - 2
    band[(values < edges[0]) | (values > edges[-1])] = len(edges) - 1
    return band


def is_known(values: AnyArray) -> BoolArray:
    """Return where a value is known: a number that is not known is NaN, a text that is not known is empty."""
    known: BoolArray = values != "" if values.dtype.kind == "U" else values == values  # noqa: PLR0124 - NaN is not
    return known


def _name(value: object) -> str:
    """Return what the group of a value is called."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float | np.number) else printable(str(value))


def group_notes(groups: Sequence[Groups], labels: IntArray) -> Iterator[Note]:
    """Yield what :func:`group_texts` says, as notes on the data set."""
    yield from (Note("groups", text) for text in group_texts(groups, labels))


def group_texts(groups: Sequence[Groups], labels: IntArray) -> Iterator[str]:
    """Yield how many people and images each group has, and which pairs are judged within it."""
    for each in groups:
        texts = []
        for place, name in enumerate(each.names):
            images = np.flatnonzero(each.group == place)
            texts.append(f"{name} ({len(np.unique(labels[images]))} people, {len(images)} images)")
        if nowhere := np.count_nonzero(each.group < 0):
            texts.append(f"{nowhere} images in none")
        differs = (
            "" if each.of_people else "; it differs between images of one person, so images are grouped, not people"
        )
        yield f"groups by {each.column}: {', '.join(texts)}{differs}"
