"""The command ``cache``: what a store holds."""

from __future__ import annotations

import json

import pytest

from faceexp.store import MARK, Store, default_root


def test_the_store_says_what_it_holds_and_can_be_emptied(faceexp, tmp_path, row):
    store = Store(tmp_path / "store")
    for number in range(3):
        store.get("features", {"number": number}, lambda folder: (folder / "x").write_bytes(b"x" * 1_000_000))
    (store.root / "plugins.json").write_text("{}")  # which plugins are known to import
    code, out, _ = faceexp("cache", "--store", store.root)
    assert code == 0
    assert row(out, "features") == "features 3 3.0"
    assert "3 artefacts, 3.0 MB kept" in out
    data = json.loads(faceexp("cache", "--store", store.root, "--clear", "--json")[1])
    assert data["kinds"]["features"]["artefacts"] == 3
    assert store.contents() == {}
    assert not (store.root / "plugins.json").exists()
    assert "0 artefacts" in faceexp("cache", "--store", tmp_path / "none")[1]


@pytest.fixture
def files_in():
    """Every file below a folder, but those of locks."""

    def files(folder):
        return sorted(
            p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"
        )

    return files


def test_only_what_a_store_has_made_is_removed(faceexp, tmp_path, files_in):
    """A run may have been given a folder with photos as its store: they stay, also where they look like artefacts."""
    root = tmp_path / "photos"
    for name in ("ann.jpg", "features/bob.jpg", f"features/{'a' * 32}/manifest.json", f"features/{'b' * 32}/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}", encoding="utf-8")
    before = files_in(root)
    store = Store(root)
    store.get("features", {"number": 1}, lambda folder: (folder / "x").write_bytes(b"x"))
    code, _, err = faceexp("cache", "--store", root, "--clear")
    assert (code, err) == (0, f"removing 1 artefacts (0.0 MB) from {root}\n")
    assert files_in(root) == sorted([*before, MARK])


def test_a_folder_that_is_no_store_is_left_alone(faceexp, tmp_path, files_in):
    root = tmp_path / "other"
    artefact = root / "features" / ("a" * 32)
    artefact.mkdir(parents=True)
    (artefact / "manifest.json").write_text('{"kind": "features"}', encoding="utf-8")
    code, out, err = faceexp("cache", "--store", root, "--clear")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"error: {root}: is not marked as a store of faceexp (it has no {MARK}), so nothing was removed"
    )
    assert files_in(root) == [f"features/{'a' * 32}/manifest.json"]


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_name_is_not_the_current_folder(faceexp, tmp_path, monkeypatch, files_in, text):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for arguments in (["cache", "--clear"], ["cache"], ["run", "mine.toml"]):
        code, out, err = faceexp(*arguments, "--store", text)
        assert (code, out) == (2, "")
        assert err == "error: --store '': names no folder; name one, or leave the option out\n"
    assert files_in(tmp_path) == ["thesis.tex"]


def test_the_home_of_the_user_is_understood(faceexp, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert json.loads(faceexp("cache", "--store", "~/store", "--json")[1])["store"] == str(tmp_path / "store")


@pytest.fixture
def no_home(faceexp, tmp_path, monkeypatch):
    """A user whose home is a file, and who names no store; return where the store would be."""
    home = tmp_path / "home"
    home.write_text("a file", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    for variable in ("FACEEXP_STORE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return default_root()


def test_a_store_that_cannot_be_reached_is_one_line(faceexp, no_home):
    for arguments in (["cache"], ["cache", "--clear"], ["cache", "--json"]):
        code, out, err = faceexp(*arguments)
        assert (code, out) == (2, "")
        assert err == (
            f"error: {no_home}: cannot be used: Not a directory; "
            "remove what is in the way, or name another store with --store or FACEEXP_STORE\n"
        )


def test_plugins_are_listed_without_a_store(faceexp, no_home, monkeypatch):
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    assert "contrastive" in out

    def unknown(*_):
        raise RuntimeError

    monkeypatch.setattr("platformdirs.user_cache_dir", unknown)  # as for a user whom the system does not know
    assert faceexp("list-plugins")[:2] == (0, out)
    code, out, err = faceexp("cache")
    assert (code, out) == (2, "")
    assert err == "error: the user has no home for finished work; name a store with --store or FACEEXP_STORE\n"


def test_what_killed_processes_left_has_a_line_of_its_own(faceexp, tmp_path, row):
    store = Store(tmp_path / "store")
    store.get("features", {}, lambda folder: (folder / "x").write_bytes(b"x" * 1_000_000))
    leftover = store.root / "images" / f".{'a' * 32}-k1ll3d_x"
    leftover.mkdir(parents=True)
    (leftover / "images.npy").write_bytes(b"x" * 2_000_000)
    out = faceexp("cache", "--store", store.root)[1]
    assert row(out, "unfinished") == "unfinished work of processes that were killed 1 2.0"
    assert "1 artefacts, 3.0 MB kept" in out
    data = json.loads(faceexp("cache", "--store", store.root, "--json")[1])
    assert data["kinds"]["unfinished"] == {"artefacts": 1, "bytes": 2_000_000}
    err = faceexp("cache", "--store", store.root, "--clear")[2]
    assert err == f"removing 1 artefacts (3.0 MB) from {store.root}\n"
    assert not leftover.exists()
    assert json.loads(faceexp("cache", "--store", store.root, "--json")[1])["kinds"] == {}


def test_a_store_is_pruned_and_kept_small(faceexp, tmp_path, row):
    store = Store(tmp_path / "store", "faces-12345678")
    for number in range(3):
        store.get("features", {"number": number}, lambda folder: (folder / "x").write_bytes(b"x" * 1_000_000))
    Store(store.root).get("features", {}, lambda folder: (folder / "x").write_bytes(b"x" * 1_000_000))
    out = faceexp("cache", "--store", store.root)[1]
    assert row(out, "faces-12345678") == "faces-12345678 3 3.0"
    assert row(out, "no experiment") == "no experiment that is known 1 1.0"
    code, out, err = faceexp("cache", "--store", store.root, "--prune", "2.5 MB", "--limit", "3MB")
    assert (code, err) == (0, f"removed 2 artefacts (2.0 MB) from {store.root}\n")
    assert "2 artefacts, 2.0 MB kept; a run leaves 3.0 MB at most" in out
    data = json.loads(faceexp("cache", "--store", store.root, "--limit", "none", "--json")[1])
    assert data["limit"] is None
    assert data["experiments"]["faces-12345678"]["artefacts"] == 1


@pytest.mark.parametrize("option", ["--prune", "--limit"])
@pytest.mark.parametrize("text", ["ten", "-5", "1e3", "5XB", "9" * 400], ids=lambda text: text[:4])
def test_a_size_that_is_none_is_one_line(faceexp, tmp_path, option, text):
    code, out, err = faceexp("cache", "--store", tmp_path / "store", option, text)
    assert (code, out) == (2, "")
    assert err == f"error: {option}: must be a size such as 500MB or 10GB, not {text!r}\n"
