"""The Olivetti faces: what is read from scikit-learn's file, and what is said when it is not there."""

from __future__ import annotations

import hashlib

import faceexp_dataset_olivetti
import numpy as np
import pytest
import sklearn.datasets
from faceexp_dataset_olivetti import Olivetti, data_folder
from scipy.io import savemat
from sklearn.datasets import _olivetti_faces

from faceexp.errors import InputError
from faceexp.testing import DatasetContract


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """A folder with a file like the real one, with noise for faces; its checksum is expected in place of the real."""
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (4096, 400), dtype=np.uint8)
    faces[:2, 0] = 0, 255  # scikit-learn stretches grey values to the whole range; here they have it
    path = tmp_path / "data" / "olivettifaces.mat"
    path.parent.mkdir()
    savemat(path, {"faces": faces, "p": random.normal(size=(64, 1))})
    monkeypatch.setattr(faceexp_dataset_olivetti, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(faceexp_dataset_olivetti, "URL", f"file://localhost{path}")
    return path.parent


def problem(plugin):
    """Return what building says that is refused."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    return str(caught.value)


class TestOlivettiContract(DatasetContract):
    @pytest.fixture
    def plugin(self, data_home):
        return Olivetti(data_home=str(data_home))


def test_40_people_with_10_images_each(data_home):
    faces = Olivetti(data_home=str(data_home)).build(seed=0)
    assert (faces.images.shape, faces.images.dtype) == ((400, 64, 64), np.uint8)
    np.testing.assert_array_equal(faces.labels, np.repeat(np.arange(40), 10))
    assert faces.identities == tuple(map(str, range(40)))


def test_images_and_labels_are_those_of_scikit_learn(data_home, tmp_path, monkeypatch):
    fetched = _olivetti_faces.FACES._replace(url=faceexp_dataset_olivetti.URL, checksum=faceexp_dataset_olivetti.SHA256)
    monkeypatch.setattr(_olivetti_faces, "FACES", fetched)
    theirs = sklearn.datasets.fetch_olivetti_faces(data_home=tmp_path / "theirs")
    ours = Olivetti(data_home=str(data_home)).build(seed=0)
    np.testing.assert_array_equal(ours.images, np.rint(theirs.images * 255))
    np.testing.assert_array_equal(ours.labels, theirs.target)


def test_the_file_is_the_one_that_scikit_learn_fetches():
    ours = faceexp_dataset_olivetti
    assert _olivetti_faces.FACES == (ours.NAME, ours.URL, ours.SHA256)


def test_the_data_folder_is_scikit_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_folder(None) == tmp_path / "home" / "scikit_learn_data"
    assert not (tmp_path / "home").exists()
    assert str(data_folder(None)) == sklearn.datasets.get_data_home()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "set"))
    assert str(data_folder(None)) == sklearn.datasets.get_data_home()


def test_download_fetches_once(data_home, tmp_path, monkeypatch):
    plugin = Olivetti(data_home=str(tmp_path / "new"), download=True)
    before = plugin.build(seed=0).fingerprint
    monkeypatch.setattr(sklearn.datasets._base, "urlretrieve", None)
    assert plugin.build(seed=0).fingerprint == before
    assert Olivetti(data_home=str(tmp_path / "new")).build(seed=0).fingerprint == before


def test_a_missing_file_is_named_with_address_and_checksum(tmp_path):
    path = tmp_path / "nothing" / "olivettifaces.mat"
    assert problem(Olivetti(data_home=str(path.parent))) == (
        f"{path}: missing; download https://ndownloader.figshare.com/files/5976027 (about 4 MB, SHA-256 "
        "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794) and save it under this name, "
        "or set download = true in [dataset]"
    )
    assert not path.parent.exists()


def test_the_pickle_of_scikit_learn_is_not_read(tmp_path):
    (tmp_path / "olivetti.pkz").write_bytes(b"whatever")
    message = problem(Olivetti(data_home=str(tmp_path)))
    assert "missing; olivetti.pkz beside it is scikit-learn's pickle, which is not read; download https" in message


def test_a_download_without_network_says_what_to_fetch(data_home, tmp_path):
    (data_home / "olivettifaces.mat").unlink()
    message = problem(Olivetti(data_home=str(tmp_path / "new"), download=True))
    assert message.startswith(f"{tmp_path / 'new' / 'olivettifaces.mat'}: cannot be fetched (<urlopen error ")
    assert message.endswith("and save it under this name")


def test_a_file_with_another_checksum_is_not_opened(data_home, monkeypatch):
    monkeypatch.setattr("scipy.io.loadmat", None)
    with (data_home / "olivettifaces.mat").open("ab") as file:
        file.write(b"\0")
    assert "damaged or another file: its SHA-256 is " in problem(Olivetti(data_home=str(data_home)))


def test_a_file_of_another_size_is_not_read(data_home, monkeypatch):
    monkeypatch.setattr(faceexp_dataset_olivetti, "MAX_FILE_BYTES", 1000)
    assert "has more than 1,000 bytes, so it is another file; download" in problem(Olivetti(data_home=str(data_home)))


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    message = problem(Olivetti(data_home=str(tmp_path / "file"), download=True))
    assert message == f"{tmp_path / 'file' / 'olivettifaces.mat'}: cannot be read: File exists"
