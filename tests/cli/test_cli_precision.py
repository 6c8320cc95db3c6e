"""A run of mixed precision from file to exported model, and what is refused of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from faceexp.results.folder import NETWORK_FILES

WIDTH = "embedding_dim = 8"


def with_precision(precision):
    return WIDTH, f'{WIDTH}\nprecision = "{precision}"'


def ran(faceexp, spec, tmp_path, *replacements):
    """Run an experiment; return what it printed for programs, and the folder of its one model."""
    code, out, err = faceexp("run", spec(*replacements), "--out", tmp_path / "runs", "--json")
    assert code == 0, err
    (model,) = (tmp_path / "runs").glob("*/models/contrastive*")
    return json.loads(out), model


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_run_is_reported_verified_and_exported(precision, faceexp, spec, folder, tmp_path):
    results, model = ran(faceexp, spec, tmp_path, with_precision(precision))
    run = model.parent.parent
    assert {trial["status"] for trial in results["trials"]} == {"ok"}
    assert f'precision = "{precision}"' in (run / "spec.toml").read_text(encoding="utf-8")

    code, out, _ = faceexp("report", run, "--notes")
    assert code == 0
    assert f"the network computes in {precision}, in training and where it is measured" in " ".join(out.split())

    # The file opens in Keras alone, and gives what `embed` gives.
    import keras

    photos = [folder / "p00" / f"{number}.png" for number in range(2)]
    grey = np.stack([np.asarray(Image.open(photo).convert("L"), np.float32) for photo in photos])[..., None]
    embeddings = keras.models.load_model(model / "model.keras", compile=False)(grey).numpy()
    assert embeddings.dtype == np.float32
    code, out, err = faceexp("verify", model, *photos, "--json")
    assert code in (0, 1), err
    distance = np.linalg.norm(embeddings[0] - embeddings[1])
    assert json.loads(out)["distance"] == pytest.approx(float(distance), rel=1e-3)

    target = tmp_path / "exported"
    formats = [word for name in NETWORK_FILES for word in ("--to", name)]
    code, out, err = faceexp("export", model, target, *formats, "--json")
    assert code == 0, err
    card = (target / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert (
        f"\n- Precision: trained and measured in {precision}; the layers in the files here compute in float32, " in card
    )
    assert card.count(precision) == 1
    origin = json.loads((target / "calibration.json").read_text(encoding="utf-8"))["origin"]
    assert origin["precision"] == precision
    assert (target / NETWORK_FILES["onnx"]).is_file()


def test_the_whole_network_is_trained_in_it(faceexp, spec, tmp_path):
    whole = "steps = 4", 'steps = 4\ntrainable = "all"'
    results, _ = ran(faceexp, spec, tmp_path, with_precision("mixed_float16"), whole)
    assert {trial["status"] for trial in results["trials"]} == {"ok"}


def test_a_precision_that_is_none_is_one_line(faceexp, spec):
    code, out, err = faceexp("run", spec(with_precision("float16")))
    assert (code, out) == (2, "")
    assert err.endswith(
        "x.toml:14: model.precision: must be 'float32', 'mixed_float16' or 'mixed_bfloat16', not 'float16'\n"
    )


def test_a_network_that_is_only_run_has_its_own(faceexp, spec, onnx_network):
    trunk = 'plugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]', f'plugin = "onnx_file"\npath = "{onnx_network}"'
    code, out, err = faceexp("run", spec(trunk, with_precision("mixed_float16")))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert "x.toml:13: model.precision: 'mixed_float16' changes nothing of model 'onnx_file'" in line
    assert line.endswith(", which is only run, as it is; leave it out")


def test_a_trunk_of_a_file_has_its_own_as_well(faceexp, spec, tmp_path):
    """Keras saves the precision of each layer with it; that is known once the file was opened, before anything trains."""
    import keras

    given = keras.Input((16, 16, 1))
    keras.Model(given, keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(given))).save(tmp_path / "trunk.keras")
    file = (
        'plugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]',
        f'plugin = "keras_file"\npath = "{tmp_path}/trunk.keras"',
    )
    code, out, err = faceexp("run", spec(file, with_precision("mixed_bfloat16")))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(
        "error: model 'keras_file': no layer of the trunk computes in mixed_bfloat16: layers of a file keep the "
    )
