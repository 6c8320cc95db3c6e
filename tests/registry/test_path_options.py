"""An option that is a path says so by its type, whichever of the usual types an author takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import DirectoryPath, FilePath, NewPath

from faceexp.contract import AnyPath, InputFile, InputFolder, Plugin, option
from faceexp.registry.installed import discover
from faceexp.registry.path_options import path_options


class Made(Plugin):
    """Options of many types."""

    a_file: InputFile = option(..., "A file.")
    maybe_a_folder: InputFolder | None = option(None, "A folder.")
    files: tuple[InputFile, ...] = option((), "Files.")
    anything: AnyPath = option("x", "A path.")
    of_pathlib: Path = option(Path("x"), "A path.")
    of_pydantic: FilePath | None = option(None, "A file.")
    folders: list[DirectoryPath] = option([], "Folders.")
    made_later: NewPath | None = option(None, "A file that does not exist yet.")
    further: Annotated[InputFile, "said besides"] = option("x", "A file.")
    word: str = option("", "A text.")
    number: int | None = option(None, "A number.")
    words: tuple[Annotated[str, "said besides"], ...] = option((), "Texts.")


def test_types_say_what_has_to_be_there():
    assert path_options(Made) == {
        "a_file": "file",
        "maybe_a_folder": "folder",
        "files": "file",
        "anything": "anything",
        "of_pathlib": "anything",
        "of_pydantic": "file",
        "folders": "folder",
        "made_later": "anything",
        "further": "file",
    }


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("dataset", "image_folder", {"path": "folder"}),
        ("dataset", "npz", {"path": "file"}),
        ("dataset", "feret", {"path": "folder", "unpacked": "anything"}),
        ("dataset", "lfw", {"data_home": "anything"}),
        ("dataset", "olivetti", {"data_home": "anything"}),
        ("dataset", "tfds", {"data_dir": "anything", "cache_dir": "anything"}),
        ("model", "keras_file", {"path": "file"}),
        ("model", "keras_application", {"weights": "file"}),
        ("loss", "contrastive", {}),
    ],
)
def test_the_paths_of_the_plugins_of_the_repository(kind, name, expected):
    assert path_options(discover().find(kind, name).load()) == expected
