"""The commands `publish` and `verify-run`: what they say, and their exit codes."""

from __future__ import annotations

import json


def test_a_run_is_published_and_verified(faceexp, small_spec, face_folder, tmp_path):
    spec, public = tmp_path / "small.toml", tmp_path / "public"
    spec.write_text(small_spec("small", face_folder, "npairs"), encoding="utf-8")
    # Each of two processes has its share of the cores, and so has the one that trains a trial anew.
    assert faceexp("run", spec, "--out", tmp_path / "runs", "--jobs", 2)[0] == 0
    (run,) = (tmp_path / "runs").iterdir()

    code, out, _ = faceexp("publish", run, public)
    assert code == 0
    assert "no photos are in it: people may not have agreed that theirs are passed on (--pictures adds them)" in out
    assert f"dataset.path: DATASET_PATH stands for {face_folder}" in out
    code, out, err = faceexp("publish", run, public)
    assert (code, out) == (2, "")
    assert err == f"error: {public}: is not empty, and nothing is overwritten; name a new or an empty folder\n"
    code, out, _ = faceexp("publish", run, tmp_path / "all", "--pictures", "--models", "best", "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["model"], document["to_fill_in"]) == ("npairs", {"dataset.path": "DATASET_PATH"})
    assert document["pictures"] > 0

    code, out, err = faceexp("verify-run", public)
    assert (code, out) == (2, "")
    assert err.endswith("say where it is here: --set dataset.path=PATH\n")
    here = ("--set", f"dataset.path={face_folder}")
    code, out, err = faceexp("verify-run", public, *here)
    assert code == 0
    assert out.startswith("npairs-s0-f0: the same to the last bit, in ")
    assert "files are as SHA256SUMS says" in err

    # One process is enough for what depends on no threads.
    environment = run / "environment.json"
    environment.write_text(environment.read_text(encoding="utf-8").replace('"jobs": 2', '"jobs": 1'), encoding="utf-8")
    results = run / "results.json"
    document = json.loads(results.read_text(encoding="utf-8"))
    next(trial for trial in document["trials"] if trial["id"] == "raw-pixels-s0-f0")["metrics"]["auc"] = None
    results.write_text(json.dumps(document), encoding="utf-8")
    code, out, _ = faceexp("verify-run", run, "--trial", "raw-pixels-s0-f0", "--json")
    assert code == 1
    answer = json.loads(out)
    assert answer["outcome"] == "different"
    assert [(each["metric"], each["claimed"], each["difference"]) for each in answer["different"]] == [
        ("auc", None, None)
    ]
