"""The commands of a run in parts: its options, `merge`, and what they say where they cannot be used."""

from __future__ import annotations

import pytest


def test_two_shares_are_merged(faceexp, small_spec, face_folder, tmp_path, row):
    spec = tmp_path / "parts.toml"
    spec.write_text(small_spec("parts", face_folder, "npairs"), encoding="utf-8")
    where = ("--out", tmp_path / "runs", "--store", tmp_path / "store")
    for number in (1, 2):
        assert faceexp("run", spec, *where, "--shard", f"{number}/2")[0] == 0
    folders = sorted((tmp_path / "runs").iterdir())
    code, out, err = faceexp("merge", folders[0], *where)
    assert (code, out) == (2, "")
    assert err == "error: merge: name two or more runs\n"
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    code, out, err = faceexp("merge", *folders, "--out", blocked / "runs")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --out {blocked / 'runs'}: nothing can be written there: ")
    code, out, err = faceexp("merge", *folders, *where)
    assert code == 0
    assert row(out, "npairs").startswith("npairs 2/2")
    assert "in none of these runs" not in err
    networks = [network for folder in folders for network in folder.glob("models/*/model.keras")]
    assert len(networks) == 2, "each share has kept its best, and the whole keeps the best of both"
    for network in networks:
        network.unlink()  # as where only results were copied
    code, _, err = faceexp("merge", *folders, "--out", tmp_path / "bare", "--store", tmp_path / "store")
    assert (code, "models to keep that are in none of these runs: 1" in err) == (0, True)
    assert faceexp("run", spec, *where, "--collect")[0] == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--shard", "9/8"), "--shard: must be such as 3/8, the third of eight shares, not '9/8'"),
        (
            ("--shard", "1/2", "--collect"),
            "--shard: --collect takes every trial that is finished; leave one of them out",
        ),
        (
            ("--shard", "1/2", "--until", "decided"),
            '--shard: verdict.until = "decided" adds seeds after a look at all trials; it cannot be done in parts',
        ),
        (
            ("--shard", "1/2", "--dry-run"),
            "--dry-run --shard: says what the whole experiment takes; leave one of them out",
        ),
        (
            ("--collect", "--dry-run"),
            "--dry-run --collect: says what the whole experiment takes; leave one of them out",
        ),
        (("--collect",), "--collect: no trial is finished yet, so there is nothing to write"),
        (("--shard", "99/100"), "--shard: there are no more than 4 trials, so there is nothing to write"),
    ],
)
def test_parts_that_cannot_be(faceexp, small_spec, face_folder, tmp_path, options, reason):
    spec = tmp_path / "parts.toml"
    text = small_spec("parts", face_folder, "npairs").replace('["pixels", "phase1"]', '["phase1"]')
    spec.write_text(text, encoding="utf-8")
    code, _, err = faceexp("run", spec, "--out", tmp_path / "runs", "--store", tmp_path / "store", *options)
    assert code == 2
    assert err.splitlines()[-1] == f"error: {reason}"
