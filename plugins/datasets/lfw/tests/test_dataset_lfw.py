"""Labeled Faces in the Wild: what is taken from scikit-learn's folder, and what is said when it is not there."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile

import faceexp_dataset_lfw
import numpy as np
import pytest
import sklearn.datasets
from faceexp_dataset_lfw import ARCHIVES, PAIRS, Lfw, data_folder
from PIL import Image
from sklearn.datasets import _lfw

from faceexp.data import pairs_file
from faceexp.errors import InputError
from faceexp.planning.listed_pairs import listed_images
from faceexp.testing import DatasetContract

PEOPLE = {"Abel_Pacheco": 4, "Aaron_Eckhart": 1, "Ai_Sugiyama": 2}


def make_images(folder):
    """Make the folder of a variant: people's folders, and the lists that lie beside them in the funneled archive."""
    for at, (name, count) in enumerate(PEOPLE.items()):
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            Image.new("RGB", (250, 250), (at * 50, number, 0)).save(folder / name / f"{name}_{number:04d}.jpg")
    (folder / "pairs_01.txt").write_text("1\t1\n")


@pytest.fixture
def data_home(tmp_path):
    """What scikit-learn leaves in its data folder."""
    home = tmp_path / "data" / "lfw_home"
    make_images(home / "lfw_funneled")
    for name in ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt"):
        (home / name).write_text("2\t1\n")
    return home.parent


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Small files in place of the real ones, at addresses that need no network."""
    server = tmp_path / "server"
    remotes = {}
    for variant, folder in faceexp_dataset_lfw.FOLDERS.items():
        make_images(server / variant / folder)
        with tarfile.open(server / ARCHIVES[variant].name, "w:gz") as tar:
            tar.add(server / variant / folder, arcname=folder)
        remotes[variant] = serve(server / ARCHIVES[variant].name, ARCHIVES[variant])
    (server / "pairs.txt").write_text("2\t1\n")
    monkeypatch.setattr(faceexp_dataset_lfw, "ARCHIVES", remotes)
    monkeypatch.setattr(faceexp_dataset_lfw, "PAIRS", serve(server / "pairs.txt", PAIRS))
    return server


def serve(path, remote):
    """Return what is to be fetched, with the address and checksum of a file; scikit-learn wants a host in it."""
    return dataclasses.replace(
        remote, url=f"file://localhost{path}", sha256=hashlib.sha256(path.read_bytes()).hexdigest()
    )


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Let nothing but files be opened, in any test."""
    real = sklearn.datasets._base.urlretrieve

    def only_files(url, path):
        assert url.startswith("file:"), url
        return real(url, path)

    monkeypatch.setattr(sklearn.datasets._base, "urlretrieve", only_files)


def problems(plugin):
    """Return what building says that is refused."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    return [str(problem) for problem in caught.value.problems]


class TestLfwContract(DatasetContract):
    @pytest.fixture
    def plugin(self, data_home):
        return Lfw(data_home=str(data_home))


# --- What is found ---


def test_images_by_identity_and_number(data_home):
    faces = Lfw(data_home=str(data_home)).build(seed=0)
    assert faces.identities == ("Aaron_Eckhart", "Abel_Pacheco", "Ai_Sugiyama")
    assert faces.labels.dtype == np.int32
    assert faces.labels.tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert faces.images[1] == data_home / "lfw_home/lfw_funneled/Abel_Pacheco/Abel_Pacheco_0001.jpg"


def test_the_same_people_and_images_as_scikit_learn(data_home):
    theirs = sklearn.datasets.fetch_lfw_people(
        data_home=data_home, download_if_missing=False, color=True, resize=None, slice_=None
    )
    ours = Lfw(data_home=str(data_home)).build(seed=0)
    assert [name.replace("_", " ") for name in ours.identities] == theirs.target_names.tolist()
    ours_seen = {
        (label, *np.asarray(Image.open(path))[0, 0]) for path, label in zip(ours.images, ours.labels, strict=True)
    }
    first_pixels = np.rint(theirs.images[:, 0, 0] * 255).astype(int)
    assert {(label, *pixel) for label, pixel in zip(theirs.target, first_pixels, strict=True)} == ours_seen


def test_names_and_numbers_are_those_of_pairs_txt(data_home, tmp_path):
    listed = tmp_path / "pairs.txt"
    listed.write_text(
        "2\t1\nAbel_Pacheco\t1\t4\nAaron_Eckhart\t1\tAi_Sugiyama\t2\n"
        "Ai_Sugiyama\t1\t2\nAbel_Pacheco\t3\tAaron_Eckhart\t1\n"
    )
    faces = Lfw(data_home=str(data_home)).build(seed=0)
    folds = listed_images(faces, pairs_file.read(str(listed)))
    names = [[tuple(faces.images[index].stem for index in pair) for pair in fold] for fold in folds]
    assert names == [
        [("Abel_Pacheco_0001", "Abel_Pacheco_0004"), ("Aaron_Eckhart_0001", "Ai_Sugiyama_0002")],
        [("Ai_Sugiyama_0001", "Ai_Sugiyama_0002"), ("Abel_Pacheco_0003", "Aaron_Eckhart_0001")],
    ]


def test_min_images(data_home):
    (data_home / "lfw_home" / "lfw_funneled" / "__MACOSX").mkdir()  # nobody
    assert Lfw(data_home=str(data_home)).build(seed=0).notes == ()
    faces = Lfw(data_home=str(data_home), min_images=2).build(seed=0)
    assert faces.notes == ("min_images = 2 of the data set leaves out 1 of 3 people",)
    assert faces.identities == ("Abel_Pacheco", "Ai_Sugiyama")
    assert faces.labels.tolist() == [0, 0, 0, 0, 1, 1]


def test_other_files_are_no_images(data_home):
    before = Lfw(data_home=str(data_home)).build(seed=0)
    folder = data_home / "lfw_home" / "lfw_funneled"
    (folder / "Abel_Pacheco" / "Thumbs.db").write_bytes(b"")
    (folder / "Abel_Pacheco" / "Abel_Pacheco_0005.jpg.part").write_bytes(b"")
    (folder / "__MACOSX").mkdir()
    after = Lfw(data_home=str(data_home)).build(seed=0)
    assert (after.identities, after.fingerprint) == (before.identities, before.fingerprint)


def test_fingerprint_changes_with_one_byte(data_home):
    before = Lfw(data_home=str(data_home)).build(seed=0)
    with before.images[0].open("ab") as file:
        file.write(b"\0")
    assert Lfw(data_home=str(data_home)).build(seed=0).fingerprint != before.fingerprint


def test_the_data_folder_is_scikit_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_folder(None) == tmp_path / "home" / "scikit_learn_data"
    assert not (tmp_path / "home").exists()
    assert str(data_folder(None)) == sklearn.datasets.get_data_home()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "set"))
    assert str(data_folder(None)) == sklearn.datasets.get_data_home()
    assert str(data_folder("~/mine")) == sklearn.datasets.get_data_home("~/mine")


def test_files_are_those_that_scikit_learn_fetches():
    pairs = next(target for target in _lfw.TARGETS if target.filename == "pairs.txt")
    theirs = {"funneled": _lfw.FUNNELED_ARCHIVE, "original": _lfw.ARCHIVE, "pairs": pairs}
    ours = {**ARCHIVES, "pairs": PAIRS}
    assert {name: (remote.name, remote.url, remote.sha256) for name, remote in ours.items()} == {
        name: (remote.filename, remote.url, remote.checksum) for name, remote in theirs.items()
    }


# --- What is fetched ---


@pytest.mark.parametrize("variant", ["funneled", "original"])
def test_download_fetches_unpacks_and_then_needs_no_network(tmp_path, served, monkeypatch, variant):
    plugin = Lfw(data_home=str(tmp_path / "new"), variant=variant, download=True)
    faces = plugin.build(seed=0)
    assert len(faces.images) == 7
    assert faces.images[0].parent.parent.name == {"funneled": "lfw_funneled", "original": "lfw"}[variant]
    assert (tmp_path / "new" / "lfw_home" / "pairs.txt").is_file()
    monkeypatch.setattr(sklearn.datasets._base, "urlretrieve", None)
    assert plugin.build(seed=0).fingerprint == faces.fingerprint
    assert plugin.model_copy(update={"download": False}).build(seed=0).fingerprint == faces.fingerprint


def test_an_archive_that_was_put_there_is_unpacked_without_the_network(tmp_path, served, monkeypatch):
    home = tmp_path / "new" / "lfw_home"
    home.mkdir(parents=True)
    (home / "lfw-funneled.tgz").write_bytes((served / "lfw-funneled.tgz").read_bytes())
    monkeypatch.setattr(sklearn.datasets._base, "urlretrieve", None)
    assert len(Lfw(data_home=str(home.parent)).build(seed=0).images) == 7
    assert sorted(path.name for path in home.iterdir()) == ["lfw-funneled.tgz", "lfw_funneled"]


def test_an_archive_with_another_checksum_is_not_opened(tmp_path, served):
    archive = tmp_path / "new" / "lfw_home" / "lfw-funneled.tgz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes((served / "lfw-funneled.tgz").read_bytes()[:-1])
    (message,) = problems(Lfw(data_home=str(archive.parents[1])))
    assert message.startswith(f"{archive}: damaged or another file: SHA-256 is ")
    assert message.endswith(f"; fetch file://localhost{served / 'lfw-funneled.tgz'} again")
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_what_was_fetched_with_another_checksum_is_thrown_away(tmp_path, served):
    with (served / "lfw-funneled.tgz").open("ab") as file:
        file.write(b"\0")
    (message,) = problems(Lfw(data_home=str(tmp_path / "new"), download=True))
    assert "cannot be fetched (The SHA256 checksum of lfw-funneled.tgz" in message
    assert not list((tmp_path / "new" / "lfw_home").iterdir())


# --- What is said offline ---


def test_missing_files_are_named_with_address_size_and_checksum(tmp_path):
    home = tmp_path / "nothing" / "lfw_home"
    assert problems(Lfw(data_home=str(home.parent))) == [
        f"{home / 'lfw-funneled.tgz'}: missing; download https://ndownloader.figshare.com/files/5976015 (about 233 MB, "
        "SHA-256 b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a) and save it under this name, "
        "or set download = true in [dataset]",
        f'{home / "pairs.txt"}: missing (only protocol.kind = "pairs_file" needs it); download '
        "https://ndownloader.figshare.com/files/5976006 (about 0.2 MB, SHA-256 "
        "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592) and save it under this name, "
        "or set download = true in [dataset]",
    ]
    assert not home.parent.exists()


def test_the_other_variant_is_another_file(data_home):
    (message,) = problems(Lfw(data_home=str(data_home), variant="original"))
    assert message.startswith(f"{data_home / 'lfw_home' / 'lfw.tgz'}: missing; download ")


def test_a_download_without_network_says_what_to_fetch(tmp_path, served):
    (served / "lfw-funneled.tgz").unlink()
    (message,) = problems(Lfw(data_home=str(tmp_path / "new"), download=True))
    path = tmp_path / "new" / "lfw_home" / "lfw-funneled.tgz"
    assert message.startswith(f"{path}: cannot be fetched (<urlopen error ")
    assert message.endswith("and save it under this name")
    assert "; download file:" in message


def test_too_few_people(data_home):
    folder = data_home / "lfw_home" / "lfw_funneled"
    (message,) = problems(Lfw(data_home=str(data_home), min_images=4))
    assert message.startswith(f"{folder}: 1 identity with at least 4 images, but a comparison of faces needs two")


def test_what_cannot_be_written_is_named(tmp_path, served):
    (tmp_path / "file").write_text("no folder")
    (message,) = problems(Lfw(data_home=str(tmp_path / "file"), download=True))
    assert message == f"{tmp_path / 'file' / 'lfw_home'}: cannot be used: Not a directory"
