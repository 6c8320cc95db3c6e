"""What the metadata of installed distributions say; those that are damaged stop nothing.

Anything may lie in the folders that Python searches: an interrupted ``pip`` leaves distributions without a name, and
some tools write files that others cannot read. Most of them have nothing to do with faceexp.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import entrypoints

# What may go wrong while a distribution's metadata are read.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Offer:
    """What one distribution offers under one name.

    Attributes:
        group: The entry points' group.
        name: Its name.
        target: ``module:object``, as it is written.
        distribution: The name of the distribution.
        version: Its version.
        damage: What is wrong with the file that offers it, so that it cannot be used; empty where nothing is.
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str
    damage: str = ""


def offers(groups: Iterable[str]) -> Iterator[Offer]:
    """Yield what the installed distributions offer in some groups; the first distribution of a name hides others.

    A distribution whose file cannot be read is passed over, unless it offers something in one of the groups.
    """
    groups, names = tuple(groups), set()
    for folder in map(str, sys.path):
        try:
            files = [(config, distribution, "") for config, distribution in entrypoints.iter_files_distros([folder])]
        except Exception:  # noqa: BLE001 - one file that is malformed, in whichever way, hides all others of the folder
            files = list(_one_by_one(folder))
        for config, distribution, damage in files:
            # Pip renames what it is about to remove so, and leaves it where it is interrupted.
            if distribution.name in names or distribution.name.startswith("~"):
                continue
            names.add(distribution.name)
            who = distribution.name.replace("_", "-"), distribution.version or "unknown"
            for group in groups:
                for name, target in config.items(group, raw=True) if config.has_section(group) else ():
                    yield Offer(group, name, target or "", *who, damage)


def _one_by_one(folder: str) -> Iterator[tuple[configparser.ConfigParser, entrypoints.Distribution, str]]:
    """Yield the entry points of each distribution in a folder, of a malformed file what can be made out."""
    for path in sorted([*Path(folder).glob("*.dist-info"), *Path(folder).glob("*.egg-info")]):
        try:
            content = (path / "entry_points.txt").read_bytes()
        except OSError:
            continue
        distribution = entrypoints.Distribution.from_name_version(path.stem)
        config, damage = entrypoints.CaseSensitiveConfigParser(delimiters=("=",)), ""
        try:
            config.read_string(content.decode("utf-8"))
        except (configparser.Error, UnicodeDecodeError) as error:
            damage = f"its entry_points.txt cannot be read: {error}"
            config = _salvaged(content.decode("utf-8", errors="replace"))
        yield config, distribution, damage


def _salvaged(text: str) -> configparser.ConfigParser:
    """Return sections and names of a file that is no valid configuration."""
    config: configparser.ConfigParser = entrypoints.CaseSensitiveConfigParser(allow_no_value=True)
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
            with suppress(ValueError, configparser.Error):
                config.add_section(section)
        elif config.has_section(section) and line and line[0] not in "#;":
            config.set(section, line.partition("=")[0].strip())
    return config


def groups_with(name: str) -> list[tuple[str, str]]:
    """Return the groups of entry points of faceexp, right or misspelt, that have a name, and who offers it there."""
    with suppress(*_DAMAGE):
        points = importlib.metadata.entry_points(name=name)
        return sorted((each.group, each.dist.name) for each in points if each.dist and each.group.startswith("faceexp"))
    return []


def installed_versions() -> dict[str, str]:
    """Return the version of every distribution that says its name and its version."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        said = _said(distribution)
        if said["Name"] and said["Version"]:
            # The first of a name is the one that Python imports.
            versions.setdefault(said["Name"], said["Version"])
    return versions


def distribution_named(name: str) -> importlib.metadata.Distribution | None:
    """Return the installed distribution of a name; of several, the first that says its version."""
    distributions = list(importlib.metadata.distributions(name=name)) if name else []
    return next((each for each in distributions if _said(each)["Version"]), next(iter(distributions), None))


def version_and_requirements(distribution: importlib.metadata.Distribution) -> tuple[str, list[str]]:
    """Return the version that a distribution says, or ``"unknown"``, and what it says that it requires."""
    said = _said(distribution)
    return said["Version"] or "unknown", [str(line) for line in said.get_all("Requires-Dist", [])]


def _said(distribution: importlib.metadata.Distribution) -> Message:
    """Return what a distribution says of itself. Its description, which may be long, is not read."""
    text = ""
    with suppress(*_DAMAGE):
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    return HeaderParser().parsestr(text.replace("\r\n", "\n").partition("\n\n")[0])


def recorded_files(distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    """Return the files that a distribution was installed with, by their names in its record.

    Without its metadata, and without what names a place on this machine: scripts, whose first line is the path of
    Python, and files that tell Python where an editable installation lies.
    """
    files: dict[str, Path] = {}
    with suppress(*_DAMAGE):
        for line in (distribution.read_text("RECORD") or "").splitlines():
            # Path, digest and size; a path with a comma is in quotes.
            name = line.rsplit(",", 2)[0].strip('"')
            folder, _, last = name.rpartition("/")
            if (
                last.endswith((".pyc", ".pth"))
                or last.startswith("__editable__")
                or folder.endswith((".dist-info", "/bin", "/Scripts"))
                or ".dist-info/" in folder
            ):
                continue
            files[name] = Path(str(distribution.locate_file(name)))
    return files
