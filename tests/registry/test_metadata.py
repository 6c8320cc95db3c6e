"""Whatever lies in the folders that Python searches, the plugins are found and versions are told."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from faceexp.contract import GROUPS
from faceexp.registry.describe import listing
from faceexp.registry.installed import discover
from faceexp.registry.metadata import distribution_named, installed_versions, offers, version_and_requirements

GOOD = "Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n"


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def archive(path: Path, entry_points: bytes, folder: str = "EGG-INFO") -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{folder}/entry_points.txt", entry_points)


MALFORMED = {
    "an option twice": b"[console_scripts]\na = m:f\na = m:g\n",
    "a section twice": b"[console_scripts]\na = m:f\n[console_scripts]\nb = m:g\n",
    "no section": b"a = m:f\n",
    "not UTF-8": b"[console_scripts]\nJ\xf6rg = m:f\n",
    "percent": b"[console_scripts]\na = m%(x)s:f\n",
    "no equals sign": b"[console_scripts]\na\n",
    "null characters": b"[console_scripts]\n\0\0 = \0\n",
    "a byte order mark": "\ufeff[console_scripts]\na = m:f\n".encode("utf-16"),
    "empty": b"",
    "not of the form module:object": b"[console_scripts]\na = ???\n",
}

LEFTOVERS = {
    "no METADATA": lambda site: write(site / "leftover-1.0.dist-info/INSTALLER", ""),
    "no name": lambda site: write(site / "nameless-1.0.dist-info/METADATA", "Metadata-Version: 2.1\n"),
    "METADATA that is not UTF-8": lambda site: write(site / "latin-1.0.dist-info/METADATA", b"Name: J\xf6rg\n"),
    "METADATA that is a folder": lambda site: (site / "odd-1.0.dist-info/METADATA").mkdir(parents=True),
    "a dist-info that is a file": lambda site: write(site / "file-1.0.dist-info", "text"),
    "an egg-info that is a file": lambda site: write(site / "old-1.0.egg-info", GOOD),
    "entry points that are a folder": lambda site: (site / "a-1.0.dist-info/entry_points.txt").mkdir(parents=True),
    "a broken egg-link": lambda site: write(site / "linked.egg-link", "/no/such/folder\n"),
    "a broken .pth": lambda site: write(site / "broken.pth", b"\xff\xfe/no\n"),
    "what an interrupted pip leaves": lambda site: write(site / "~acy-1.0.dist-info/METADATA", GOOD),
}


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_entry_points_of_others_that_are_malformed_change_nothing(site, name, kind):
    before = discover()
    write(site / f"foreign-1.0.{kind}/METADATA", GOOD)
    write(site / f"foreign-1.0.{kind}/entry_points.txt", MALFORMED[name])
    assert discover() == before


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_change_nothing(site, name):
    before, versions = discover(), installed_versions()
    LEFTOVERS[name](site)
    assert discover() == before
    told = installed_versions()
    assert {each: told[each] for each in versions} == versions
    assert all(each and version for each, version in told.items())


@pytest.mark.parametrize(
    "content", [None, b"no archive", MALFORMED["no section"]], ids=["missing", "broken", "malformed"]
)
@pytest.mark.parametrize("suffix", ["egg", "zip"])
def test_archives_that_are_searched_change_nothing(tmp_path, monkeypatch, content, suffix):
    path = tmp_path / f"foreign-1.0.{suffix}"
    if content == b"no archive":
        path.write_bytes(content)
    elif content:
        archive(path, content, "EGG-INFO" if suffix == "egg" else "foreign-1.0.dist-info")
    before = discover()
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    assert discover() == before
    assert installed_versions()


def test_a_malformed_file_does_not_hide_others_of_its_folder(site, install):
    write(site / "foreign-1.0.dist-info/entry_points.txt", MALFORMED["no section"])
    write(site / "good-2.0.dist-info/entry_points.txt", "[faceexp.losses]\nfine = fine:Fine\n")
    found = discover().find("loss", "fine")
    assert (found.distribution, found.version, found.module, found.damage) == ("good", "2.0", "fine", "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a = b:c\n[faceexp.losses]\nodd = m:C\n", "its entry_points.txt cannot be read: File contains no section"),
        ("[faceexp.losses]\nodd = m:C\nodd = m:D\n", "its entry_points.txt cannot be read: While reading from"),
        (b"[console_scripts]\nJ\xf6rg = m:f\n[faceexp.losses]\nodd = m:C\n", "its entry_points.txt cannot be read: 'utf-8'"),
        ("[faceexp.losses]\nodd = m%(x)s:C\n", "its entry point 'm%(x)s:C' is not of the form module:class"),
        ("[faceexp.losses]\nodd =\n", "its entry point '' is not of the form module:class"),
    ],
    ids=["no section", "twice", "not UTF-8", "percent", "no target"],
)  # fmt: skip
def test_plugins_of_a_malformed_file_are_listed_as_broken(site, content, reason):
    write(site / "odd-1.0.dist-info/entry_points.txt", content)
    (odd,) = (plugin for plugin in listing()["loss"] if plugin.name == "odd")
    assert str(odd.error).startswith(reason)
    assert (odd.distribution, odd.version) == ("odd", "1.0")


def test_what_an_interrupted_pip_leaves_offers_nothing(site):
    write(site / "~odd-1.0.dist-info/entry_points.txt", "[faceexp.losses]\nodd = m:C\n")
    assert "odd" not in discover().names("loss")


def test_the_first_of_two_distributions_of_one_name_counts(tmp_path, monkeypatch):
    for number in (2, 1):
        content = f"[faceexp.losses]\nodd = m{number}:C\n"
        write(tmp_path / str(number) / f"odd-{number}.dist-info/entry_points.txt", content)
        monkeypatch.syspath_prepend(tmp_path / str(number))
    (odd,) = (offer for offer in offers(GROUPS.values()) if offer.name == "odd")
    assert (odd.target, odd.version) == ("m1:C", "1")


def test_the_version_of_a_name_is_that_of_the_first_that_says_one(site):
    (site / "pydantic-99.dist-info").mkdir()
    found = distribution_named("pydantic")
    assert found is not None
    assert version_and_requirements(found)[0] == installed_versions()["pydantic"]
