"""The command ``cache``: what a store holds."""

from __future__ import annotations

import json

from faceexp.store import Store


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
    assert store.contents() == {"features": (0, 0)}
    assert not (store.root / "plugins.json").exists()
    assert "0 artefacts" in faceexp("cache", "--store", tmp_path / "none")[1]
