"""A run that is passed on: what the folder holds, what it does not tell, and that others can check it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faceexp
from faceexp.errors import InputError
from faceexp.experiment import toml
from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord
from faceexp.results.set_record import SetRecord
from faceexp.running.checksums import check_files, write_checksums
from faceexp.running.placeholders import Placeholder, Private, named, placeholders, unfilled, without_paths
from faceexp.running.publish import publish, requirements
from faceexp.serving.card import written

# Where a run was computed and recorded: plugins that others need not have, and what is nobody else's.
OF_A_SITE = """
[executor]
plugin = "cluster_of_the_institute"
account = "secret"
[[trackers]]
plugin = "server_of_the_institute"
address = "https://me:secret@example.org"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home, small_spec, face_folder):
    """A finished run, whose data lie in the home folder, and which tells of that folder in one of its notes as well."""
    file = home / "small.toml"
    data = home / "my data" / "faces"
    shutil.copytree(face_folder, data)
    text = small_spec("small", data, "npairs", "contrastive").replace("seeds = [0, 1]", "seeds = [0]")
    file.write_text(text, encoding="utf-8")
    folder = faceexp.load(file).run(home / "runs", store=home / "store").folder
    results = folder / "results.json"
    document = json.loads(results.read_text(encoding="utf-8"))
    document["notes"].append(f"{home}/elsewhere/a.png could not be used, nor {data}/b.png, but {home}-2/c.png could")
    document["note_kinds"].append("data")
    results.write_text(json.dumps(document), encoding="utf-8")
    with (folder / "spec.toml").open("a", encoding="utf-8") as spec:
        spec.write(OF_A_SITE)
    return folder


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))


@pytest.fixture(scope="module")
def published(run, home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        return publish(run, home / "public" / "run")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def pictures_on_page(folder):
    """The numbers of the pictures that are in the page of a run."""
    (pictures,) = re.findall(r'"pictures":(\{.*?\})', (folder / "report.html").read_text(encoding="utf-8"))
    return sorted(json.loads(pictures))


def test_a_published_run_holds_what_others_need_and_neither_models_nor_photos(run, published):
    of_run = {name for name in files(run) if not name.startswith(("models/", "pictures/"))}
    assert files(published.folder) == of_run | {"README.md", "requirements.txt", "SHA256SUMS"}
    assert any(name.startswith("pictures/") for name in files(run))
    assert pictures_on_page(run)
    assert not pictures_on_page(published.folder)
    assert "npairs" in (published.folder / "report.html").read_text(encoding="utf-8")
    assert (published.files, published.pictures, published.model) == (len(files(published.folder)), 0, "")
    assert [path.name for path in published.folder.parent.iterdir()] == ["run"], "nothing else is left there"


def test_no_file_tells_where_something_lay(run, home, published):
    assert str(home) in (run / "spec.toml").read_text(encoding="utf-8")
    for name in files(published.folder):
        assert f"{home}/" not in (published.folder / name).read_text(encoding="utf-8"), name
    notes = faceexp.open_run(published.folder).results.notes
    assert notes[-1] == f"~/elsewhere/a.png could not be used, nor DATASET_PATH/b.png, but {home}-2/c.png could"
    assert toml.read(published.folder / "spec.toml").data["dataset"]["path"] == "DATASET_PATH"
    assert published.to_fill_in == (Placeholder("dataset.path", "DATASET_PATH", str(home / "my data" / "faces")),)


def test_no_file_tells_where_the_run_was_computed_and_recorded(run, published):
    assert "secret" in (run / "spec.toml").read_text(encoding="utf-8")
    for name in files(published.folder):
        text = (published.folder / name).read_text(encoding="utf-8")
        assert not any(word in text for word in ("secret", "of_the_institute", "[executor]")), name


def test_numbers_are_not_changed(run, published):
    for name in ("results.json", *(f"trials/{path.name}" for path in (run / "trials").iterdir())):
        one, other = (json.loads((folder / name).read_text(encoding="utf-8")) for folder in (run, published.folder))
        one.pop("notes", None)
        other.pop("notes", None)
        assert one == other


def test_the_readme_says_how_to_check_and_what_to_fill_in(published):
    text = (published.folder / "README.md").read_text(encoding="utf-8")
    assert "\n   faceexp verify-run . --set dataset.path=PATH\n   ```\n" in text
    assert "| `dataset.path` | `DATASET_PATH` |" in text
    assert "so the page shows none" in text
    assert "- **Models.** Training a trial again makes its model." in text
    assert "pictures/" not in text


def test_the_readme_of_a_run_without_paths_that_several_processes_made(run):
    results = faceexp.open_run(run).results
    results = results.model_copy(
        update={"description": "Two\nlines.", "test_sets": (SetRecord(name="lfw", measured=results.parts[0].test),)}
    )
    values = {
        "results": results,
        "rows": ["a | b\nc"],
        "environment": EnvironmentRecord(python="3.12.1", cores=8, jobs=2, gpu="none such"),
        "plugin": "olivetti",
        "to_fill_in": [],
        "pictures": 2000,
        "model": "",
        "searched": True,
    }
    text = written("RUN.md", values)
    assert text.startswith("# The run small\n\nTwo lines.\n\nA comparison")
    assert "of 1 row (a | b c)." in text
    assert "\n   faceexp verify-run .\n   ```\n" in text
    assert "The experiment names no path." in text
    assert "made on an unknown processor (8 cores, shared by 2 processes), GPU none such." in text
    assert "| `pictures/` | 2,000 pictures of people" in text
    assert "| `report-lfw.html` | the page on the test set lfw |" in text
    assert "| `tuned.toml` |" in text


def test_every_file_has_the_checksum_that_other_programs_find(published):
    lines = (published.folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    assert sums.keys() == files(published.folder) - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert digest == hashlib.sha256((published.folder / name).read_bytes()).hexdigest()
    if program := shutil.which("sha256sum"):
        done = subprocess.run([program, "-c", "SHA256SUMS"], cwd=published.folder, capture_output=True, check=False)
        assert done.returncode == 0


def test_pictures_and_the_best_model_are_passed_on_where_that_is_asked_for(run, home, face_folder):
    published = publish(run, home / "all", pictures=True, models="best")
    pictures = {name for name in files(run) if name.startswith("pictures/")}
    assert published.pictures == len(pictures) > 0
    assert pictures < files(published.folder)
    assert pictures_on_page(published.folder) == pictures_on_page(run)
    model, best = faceexp.load_model(published.folder), faceexp.load_model(run)
    assert (model.label, model.folder.name) == (best.label, best.folder.name)
    assert model.label == published.model
    photos = face_folder / "p00" / "0.png", face_folder / "p01" / "0.png"
    assert model.verify(*photos).distance == best.verify(*photos).distance
    assert not list(published.folder.rglob("seen_photos.bin")), "nobody can find out which photos were used"
    assert str(home) not in (model.folder / "spec.toml").read_text(encoding="utf-8")
    text = (published.folder / "README.md").read_text(encoding="utf-8")
    assert f"| `models/{model.folder.name}/` |" in text
    assert "The pictures show people." in text


def test_a_published_run_is_published_again_as_it_is(published, home):
    again = publish(published.folder, home / "again")
    for name in files(published.folder) - {"SHA256SUMS"}:
        assert (again.folder / name).read_bytes() == (published.folder / name).read_bytes(), name


def test_what_fails_leaves_nothing(run, home, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is not empty, and nothing is overwritten"):
        publish(run, run)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "trials" / "npairs-s0-f0.json").unlink()
    (copy / "environment.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        publish(copy, tmp_path / "out")
    damaged, lost = caught.value.problems
    assert (damaged.where, lost.where) == (str(copy / "environment.json"), str(copy / "trials" / "npairs-s0-f0.json"))
    assert "is damaged" in damaged.message
    assert "is lost" in lost.message
    with pytest.raises(InputError, match="holds no model"):
        publish(publish(run, tmp_path / "no models").folder, tmp_path / "out", models="best")
    # The last file that is written tells of the home folder.
    monkeypatch.setattr("faceexp.running.publish.requirements", lambda environment: f"{home}/wheels/mine.whl\n")
    with pytest.raises(InputError, match=r"requirements.txt: would hold a path of this machine"):
        publish(run, tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "no models"}


def test_requirements_are_what_decides_numbers_and_the_plugins():
    plugins = [
        InstalledPluginRecord(kind=kind, name="mine", distribution="mine", version="2.0") for kind in ("loss", "model")
    ]
    packages = {"numpy": "2.1", "tensorflow": "2.20+cpu", "requests": "2.0"}
    environment = EnvironmentRecord(python="3.12.1", packages=packages, plugins=tuple(plugins))
    assert requirements(environment) == "# Python 3.12.1\ntensorflow==2.20+cpu\nnumpy==2.1\nmine==2.0\n"


# Placeholders ---------------------------------------------------------------------------------------------------------


def test_every_path_of_an_experiment_gets_a_name_of_its_own(tmp_path):
    table = {
        "dataset": {"plugin": "image_list", "path": "/data/list.csv", "folders": ["/data/a", "C:\\data\\b"]},
        "protocol": {"path": "/data/pairs.txt", "separator": "/"},
        "test_sets": [{"name": "x", "dataset": {"path": "/other"}}],
    }
    assert {each.key: each.name for each in placeholders(table)} == {
        "dataset.path": "DATASET_PATH",
        "dataset.folders[0]": "DATASET_FOLDERS_0",
        "dataset.folders[1]": "DATASET_FOLDERS_1",
        "protocol.path": "PROTOCOL_PATH",
        "test_sets[0].dataset.path": "TEST_SETS_0_DATASET_PATH",
    }
    changed = without_paths(table)
    assert changed["dataset"]["folders"] == ["DATASET_FOLDERS_0", "DATASET_FOLDERS_1"]
    assert changed["protocol"] == {"path": "PROTOCOL_PATH", "separator": "/"}
    assert named(("dataset", "path")) == "DATASET_PATH"
    file = tmp_path / "spec.toml"
    file.write_text('[dataset]\nplugin = "x"\npath = "DATASET_PATH"\n[protocol]\npath = "PROTOCOL_PATH"\n', "utf-8")
    document = toml.read(file, ("protocol.path=here.csv",))
    assert [str(problem) for problem in unfilled(document)] == [
        f"{file}:3: dataset.path: it lay on another machine; say where it is here: --set dataset.path=PATH"
    ]
    (tmp_path / "DATASET_PATH").mkdir()
    assert list(unfilled(document)) == []


@given(st.text(alphabet="/abc. -", max_size=40))
def test_no_private_path_is_left_in_a_text(text):
    private = Private({"/a": "~", "/a/b": "DATASET_PATH"})
    assert not private.is_in(private.without(text))
    assert private.without({text: [text, 1.5, None]}) == {private.without(text): [private.without(text), 1.5, None]}


# Checksums ------------------------------------------------------------------------------------------------------------


def test_each_file_that_differs_is_one_line(tmp_path):
    for name in ("same", "changed", "gone", "inner/deep"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    sums = tmp_path / "SHA256SUMS"
    write_checksums(sums)
    assert check_files(sums, ()) == 4
    (tmp_path / "changed").write_text("other")
    (tmp_path / "gone").unlink()
    (tmp_path / "added").touch()
    with sums.open("a") as file:
        file.write(f"{'0' * 64}  ../outside\nno checksum\n")
    with pytest.raises(InputError) as caught:
        check_files(sums, [tmp_path / "added", tmp_path / "same", tmp_path / "not there"])
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'changed'}: differs from what SHA256SUMS says",
        f"{tmp_path / 'gone'}: is missing, and SHA256SUMS names it",
        f"{sums}:5: is not the checksum of a file in this folder",
        f"{sums}:6: is not the checksum of a file in this folder",
        f"{tmp_path / 'added'}: is not named in SHA256SUMS",
    ]


def test_a_name_that_is_no_line_is_refused(tmp_path):
    (tmp_path / "two\nlines").touch()
    with pytest.raises(InputError, match="has a name that a list of checksums cannot hold"):
        write_checksums(tmp_path / "SHA256SUMS")
