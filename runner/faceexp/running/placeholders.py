"""Paths of one machine, which tell a stranger nothing: in what is passed on, names to be filled in stand for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from faceexp.errors import Problem
from faceexp.experiment.lines import KeyPath, TomlTable
from faceexp.experiment.toml import Document, spell
from faceexp.files import at_home

# What stands for the home folder of whoever passes something on.
HOME = "~"


@dataclass(frozen=True)
class Placeholder:
    """A name that stands in an experiment file for a path.

    Attributes:
        key: The key whose value it is, as ``--set`` takes it.
        name: The name.
        path: The path.
    """

    key: str
    name: str
    path: str


def named(key: KeyPath) -> str:
    """Return the name that stands for the path of a key: that of ``dataset.path`` is ``DATASET_PATH``."""
    return re.sub(r"\W+", "_", spell(key)).strip("_").upper()


def placeholders(table: TomlTable) -> list[Placeholder]:
    """Return a placeholder for every absolute path in an experiment; a run writes no others.

    Those that stand in it already, because the run itself was published, are among them.
    """
    texts = [(key, text) for key, text in _texts(table) if _is_absolute(text) or text == named(key)]
    return [Placeholder(spell(key), named(key), text) for key, text in texts]


def without_paths(value: Any, key: KeyPath = ()) -> Any:  # noqa: ANN401 - data of TOML
    """Return the data of an experiment with the placeholders in the place of the paths."""
    if isinstance(value, Mapping):
        return {name: without_paths(inner, (*key, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner, (*key, number)) for number, inner in enumerate(value)]
    return named(key) if isinstance(value, str) and _is_absolute(value) else value


def unfilled(document: Document) -> Iterator[Problem]:
    """Yield a problem for every placeholder in an experiment file that leads nowhere here."""
    for key, text in _texts(document.data):
        if text == named(key) and not (document.folder / text).exists():
            message = f"it lay on another machine; say where it is here: --set {spell(key)}=PATH"
            yield document.problem(key, message)


def _texts(value: object, key: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield every text in the data of an experiment with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*key, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, (*key, number))


def _is_absolute(text: str) -> bool:
    return any(path.is_absolute() and path.name for path in (PurePosixPath(text), PureWindowsPath(text)))


@dataclass(frozen=True)
class Private:
    """What must not be passed on: the paths of an experiment and the home folder.

    Attributes:
        names: What stands for each path.
    """

    names: Mapping[str, str]

    @classmethod
    def of(cls, placeholders: Sequence[Placeholder]) -> Private:
        """Return the paths behind placeholders, and the home folder, also where that is a link."""
        home = Path(at_home("~"))
        homes = {str(path) for path in (home, home.resolve()) if path.is_absolute() and path.name}
        paths = {each.path: each.name for each in placeholders if _is_absolute(each.path)}
        return cls(dict.fromkeys(homes, HOME) | paths)

    def without(self, value: Any) -> Any:  # noqa: ANN401 - data of JSON
        """Return JSON data, or a text, without these paths."""
        if isinstance(value, Mapping):
            return {self.without(key): self.without(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.without(inner) for inner in value]
        return self._pattern.sub(lambda found: self.names[found[0]], value) if isinstance(value, str) else value

    def is_in(self, text: str) -> bool:
        """Return whether one of the paths stands in a text."""
        return self._pattern.search(text) is not None

    @property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: a data set may lie in the home folder. "/home/al" is not the beginning of "/home/alice",
        # and "/al" not a part of "~/al".
        longest_first = sorted(self.names, key=len, reverse=True)
        anything = "|".join(map(re.escape, longest_first)) or r"(?!)"
        return re.compile(rf"(?<![\w.~-])(?:{anything})(?![\w-])")
