"""Plugins that misbehave in any way fail alone, with a reason that names their fault, and change nobody's numbers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import faceexp

HERE = Path(__file__).parent
# What changes the process and is put back: such a loss is trained as if it had done nothing.
HARMLESS = (
    *("policy", "floatx", "epsilon", "format", "eager", "jit", "seeds", "session", "filters", "errors of numpy"),
    *(
        "folder",
        "environment",
        "locale",
        "garbage",
        "mask",
        "path",
        "recursion",
        "alarm",
        "no stream",
        "closed stream",
        "talk",
    ),
)
# What is refused, with what the reason has to name.
REFUSED = {
    "exit": "SystemExit: no licence",
    "interrupt": "KeyboardInterrupt was raised",
    "error": "ValueError: a mistake of two lines",
    "unspeakable": "Unspeakable",
    "generator": "GeneratorExit was raised",
    "stop": "StopIteration: early",
    "recursion without end": "RecursionError",
    "memory": "Unable to allocate",
    "half a letter": "ValueError: ",
    "base": "BaseException: the base of all",
    "no function": "build gives int, which cannot be called",
    "none": "gives None, not a tensor",
    "vector": "gives values of shape (8,), not a scalar",
    "integer": "a number of type int32",
    "text": "gives a str, not a tensor",
    "number": "gives a float, not a tensor",
    "no gradient": "",
    "no number": "the loss is not finite at step 1",
    "infinite": "the loss is not finite at step 1",
    "one argument": "TypeError",
    "weights that nobody sees": "that nobody would train",
    "raises late": "ValueError: late",
}
# What ends its process; every one costs the start of another.
ENDS = {
    "killed by SIGSEGV": "was killed by signal 11",
    "abort": "was killed by signal 6",
    "null": "was killed by signal 11",
    "_exit": "ended with exit code 0",
    "_exit 3": "ended with exit code 3",
    "SIGKILL": "was killed by signal 9",
    "every file closed": "the process that ran it",
    "alarm that kills": "",
}
DRAWS = {
    "short": "promises batches of 8 images, and gives one of shape (7,)",
    "outside": "asks for image",
    "below zero": "asks for image",
    "one person": "promises 2 identities",
    "no numbers": "an array of float64",
    "no array": "gives an array of",
    "nothing at all": "gives an array of object",
    "matrix": "gives one of shape (2, 4)",
    "ends": "has no more batches",
    "raises": "ValueError: no more",
}
# They keep something from one step to the next; that is allowed, but the next seed must not depend on it.
KEEPING = ("counts", "random")
BROKEN = {
    "raises": "raise ValueError('no licence')",
    "exits": "import sys; sys.exit(3)",
    "interrupts": "raise KeyboardInterrupt",
    "prints": "print('hello'); import os; os.write(1, b'hello'); os.chdir('/')",
    "is no Python": "def (",
    "lacks its class": "x = 1",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Install the plugins that misbehave, and beside them some that cannot even be imported."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(HERE / "misbehaving.py", folder)
    points = "[faceexp.losses]\nmisbehaves = misbehaving:Misbehaves\n[faceexp.samplers]\ndraws = misbehaving:Draws\n"
    install(folder, "faceexp-misbehaving", points)
    for number, (name, source) in enumerate(BROKEN.items()):
        (folder / f"broken_{number}.py").write_text(source, encoding="utf-8")
        install(folder, f"faceexp-broken-{number}", f"[faceexp.losses]\nbroken {name} = broken_{number}:Mine\n")
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{before}")
    return folder


def install(folder, name, points):
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")


def table(what, plugin="misbehaves"):
    """Return the table of a loss that does something, or whose sampler does."""
    if what in DRAWS:
        sampler = f'[losses.finetune.sampler]\nplugin = "draws"\nwhat = "{what}"\n'
        return f'[[losses]]\nplugin = "misbehaves"\nlabel = "draws {what}"\n{sampler}'
    return f'[[losses]]\nplugin = "misbehaves"\nlabel = "{what}"\nwhat = "{what}"\n'


@pytest.fixture
def ran(spec, begin, tmp_path, site):
    """``ran(tables, jobs=1)``: the trials of a run with these losses by label and seed, the output of which was JSON."""

    def run(whats, *replacements):
        tables = "\n".join(map(table, whats))
        text = spec(*replacements).read_text(encoding="utf-8")
        file = tmp_path / f"{len(whats)}.toml"
        file.write_text(text.partition("[[losses]]")[0] + tables, encoding="utf-8")
        place = tmp_path / f"place-{len(whats)}"
        command = begin("run", file, "--store", place / "store", "--out", place / "runs", "--json")
        code = command.wait()
        assert code in (0, 1), command.said()
        assert "Traceback" not in command.said()
        document = json.loads(command.output.read_text(encoding="utf-8"))
        return {(trial["label"], trial["seed"]): trial for trial in document["trials"]}

    return run


@pytest.fixture
def alone(spec, site, monkeypatch, tmp_path):
    """The trials of a run in which the well-behaved loss is the only one, in this process."""
    monkeypatch.syspath_prepend(site)
    file = tmp_path / "alone.toml"
    file.write_text(spec().read_text(encoding="utf-8").partition("[[losses]]")[0] + table("nothing"), encoding="utf-8")
    faceexp.load(file).run(tmp_path / "alone", store=tmp_path / "store")
    (results,) = (tmp_path / "alone").rglob("results.json")
    trials = json.loads(results.read_text(encoding="utf-8"))["trials"]
    return {(trial["label"], trial["seed"]): trial for trial in trials}


def computed(trial):
    """Return everything that a trial has computed."""
    assert trial["status"] == "ok", trial
    return trial["metrics"], trial["curve"], trial["threshold"], trial["best_step"]


def test_whatever_plugins_do_their_neighbours_numbers_stay(form, ran, alone, tell):
    harmless, refused, draws, ends = (list(every)[:: form.stride] for every in (HARMLESS, REFUSED, DRAWS, ENDS))
    seeds, ends = ((0, 1), ends) if form.name == "full" else ((0,), ends[:1])
    whats = [*harmless, *refused, *draws, *ends, *(KEEPING if form.name == "full" else ())]
    # Each that harms is followed by another kind, and the well-behaved one comes last.
    mixed = [what for place in range(7) for what in whats[place::7]]
    trials = ran([*mixed, "nothing"], ("seeds = [0, 1]", f"seeds = {list(seeds)}"))
    for seed in seeds:
        for baseline in ("raw pixels", "phase-1 embedding"):
            assert computed(trials[baseline, seed]) == computed(alone[baseline, seed])
        expected = computed(alone["nothing", seed])
        assert computed(trials["nothing", seed]) == expected
        for what in harmless:
            assert computed(trials[what, seed]) == expected, f"the setting is not put back: {what}"
        for what in [*refused, *ends]:
            if reason := (REFUSED | ENDS)[what]:
                trial = trials[what, seed]
                assert trial["status"] in ("failed", "diverged"), what
                assert reason in trial["reason"], what
                assert trial["reason"].isprintable(), what
        for what in draws:
            assert trials[f"draws {what}", seed]["status"] == "failed", what
            assert DRAWS[what] in trials[f"draws {what}", seed]["reason"], what
    tell("plugins that misbehave", len(whats) + len(BROKEN))


def test_a_plugin_that_never_returns_loses_its_own_trial(form, ran, alone):
    if form.name == "short":
        pytest.skip("it takes half a minute; the full form does it")
    limit = ("[dataset]", "[limits]\nminutes_per_trial = 0.5\n[dataset]")
    trials = ran(["sleep", "sleep that does not hear", "nothing"], limit, ("seeds = [0, 1]", "seeds = [0]"))
    for what in ("sleep", "sleep that does not hear"):
        assert "it took more than 0.5 minutes, which limits.minutes_per_trial allows" in trials[what, 0]["reason"]
    assert computed(trials["nothing", 0]) == computed(alone["nothing", 0])
