"""A saved Keras file as a faceexp plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationInfo, field_validator

from faceexp.contract import InputFile, ModelPlugin, option
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.network_files.keras import check_layers, check_network, read_description
from faceexp.network_files.network import NetworkFileError, digest_of

if TYPE_CHECKING:
    import keras


class KerasFile(ModelPlugin):
    """A model saved by Keras 3 as a .keras file, whole or up to one of its layers.

    Where the last output is a map, the mean of each channel is its feature. Images arrive normalised, with mean 0 and
    deviation 1; scale and offset make of them what the model was trained on. What was frozen when the file was saved
    stays frozen. Files with Lambda layers, or classes and functions that are not of Keras, are refused: they are code.
    """

    reference: ClassVar[str] = "Whoever made the file; faceexp does not know"

    path: InputFile = option(..., "The .keras file; relative to the experiment file, ~ is your home.")
    sha256: str | None = option(
        None,
        "Digest of the file: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )
    layer: str | None = option(None, "Layer whose output is the feature; the model's own output if not given.")
    scale: float = option(1.0, "Factor on normalised images; about 64 for a model made for 0..255.", gt=0)
    offset: float = option(0.0, "What is added then; about 128 for a model made for 0..255.")

    @field_validator("path")
    @classmethod
    def _is_a_safe_file(cls, path: str) -> str:
        try:
            check_network(Path(path).expanduser())
        except NetworkFileError as error:
            raise ValueError(f"{path} {error}") from None
        return path

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if "path" not in info.data:
            return sha256
        try:
            return digest_of(Path(info.data["path"]).expanduser(), sha256)
        except NetworkFileError as error:
            raise ValueError(f"{info.data['path']} {error}") from None

    @field_validator("layer")
    @classmethod
    def _is_a_layer(cls, layer: str | None, info: ValidationInfo) -> str | None:
        if layer is not None and "path" in info.data:
            try:
                inside = read_description(Path(info.data["path"]).expanduser())["config"]["layers"]
                names = [str(entry["config"]["name"]) for entry in inside]
            except (KeyError, TypeError):
                names = []
            if layer not in names:
                raise ValueError(f"{info.data['path']} has no layer {layer!r}; {did_you_mean(layer, names)}")
        return layer

    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return the trunk: float32 (B, H, W, C) to (B, F).

        Raises:
            InputError: The file cannot be loaded, or takes other images, or gives no features.
        """
        import keras

        layers = keras.layers
        try:
            check_network(Path(self.path).expanduser())  # again: it may be another file by now
            check_layers(Path(self.path).expanduser())
            model = keras.models.load_model(Path(self.path).expanduser(), safe_mode=True, compile=False)
            inputs, outputs = list(model.inputs), list(model.outputs)
            if self.layer:
                layer = model.get_layer(self.layer)
                # The `output` of a model inside a model belongs to the inner one; its last call is that in the outer.
                within = isinstance(layer, keras.Model)
                outputs = keras.tree.flatten(layer._inbound_nodes[-1].output_tensors if within else layer.output)  # noqa: SLF001
        except Exception as error:
            raise self._wrong(f"cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise self._wrong(f"{len(inputs)} inputs and {len(outputs)} outputs, but a trunk has one of each")
        takes = tuple(inputs[0].shape[1:])
        if len(takes) != 3 or any(side not in (None, given) for side, given in zip(takes, input_shape, strict=True)):
            raise self._wrong(
                f"takes images of shape {_shape(takes)}, not {_shape(input_shape)}; set size and color in [preprocess]"
            )

        images = x = keras.Input(input_shape, name="images")
        if (self.scale, self.offset) != (1.0, 0.0):
            x = layers.Rescaling(self.scale, self.offset, name="scale")(x)
        try:
            x = keras.Model(inputs[0], outputs[0], name="file")(x)
        except ValueError as error:
            raise self._wrong(f"takes no images of shape {_shape(input_shape)}: {error}") from error
        if len(x.shape) == 4:
            x = layers.GlobalAveragePooling2D(name="features")(x)
        if len(x.shape) != 2:
            raise self._wrong(f"gives {_shape(tuple(x.shape[1:]))} numbers, neither a vector nor a map; name a layer")
        return keras.Model(images, x, name="keras_file")

    def _wrong(self, message: str) -> InputError:
        return InputError(Problem(message, where=self.path))


def _shape(sides: tuple[int | None, ...]) -> str:
    return "x".join("any" if side is None else str(side) for side in sides)
