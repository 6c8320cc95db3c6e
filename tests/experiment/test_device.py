"""The device that a file names: what is taken, what is refused, and that files which name none are what they were."""

from __future__ import annotations

import pytest

import faceexp
from faceexp.errors import InputError
from faceexp.experiment.device import number_of


@pytest.fixture
def load(tmp_path, small_spec, face_folder):
    def loaded(*overrides: str, above: str = ""):
        file = tmp_path / "x.toml"
        file.write_text(above + small_spec("device", face_folder, "npairs"), encoding="utf-8")
        return faceexp.load(file, overrides=overrides)

    return loaded


@pytest.mark.parametrize(("device", "number"), [("auto", None), ("cpu", None), ("gpu:0", 0), ("gpu:17", 17)])
def test_what_is_taken(load, device, number) -> None:
    for study in (load(above=f'device = "{device}"\n'), load(f"device={device}")):
        assert study.experiment.device == device
    assert number_of(device) == number


@pytest.mark.parametrize("device", ["gpu", "GPU:0", "gpu:-1", "gpu:1.5", "gpu:", "gpu:1234", "gpu:٣", "cuda", ""])
def test_everything_else_is_refused_in_one_line(load, device) -> None:
    with pytest.raises(InputError) as raised:
        load(above=f'device = "{device}"\n')
    (problem,) = raised.value.problems
    wanted = 'device: must be "auto", "cpu", or a GPU by its number, such as "gpu:0"'
    assert str(problem).endswith(f"x.toml:1: {wanted} (is {device!r})")


def test_a_number_is_no_device(load) -> None:
    with pytest.raises(InputError, match=r"x\.toml:1: device: must be text in quotes, not 0"):
        load(above="device = 0\n")


def test_a_file_without_a_device_keeps_the_folder_of_its_run(load) -> None:
    plain, named = load(), load("device=auto")
    assert "device" not in plain.experiment.model_dump(mode="json")
    assert named.spec_hash == plain.spec_hash
    assert load("device=cpu").spec_hash != plain.spec_hash
