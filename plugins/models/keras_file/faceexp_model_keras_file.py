"""A saved Keras file as a faceexp plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationInfo, field_validator

from faceexp.contract import InputFile, ModelPlugin, option
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.network_files.keras import check_layers, check_network, read_description
from faceexp.network_files.network import NetworkFileError, digest_of, of_option

if TYPE_CHECKING:
    import keras


class KerasFile(ModelPlugin):
    """A model saved by Keras as a .keras file or, whole, as an .h5 file; up to one of its layers, if one is named.

    Where the last output is a map, the mean of each channel is its feature. Images arrive normalised, with mean 0 and
    deviation 1, or with pixels = true as pixels from 0 to 255; scale and offset make of them what the model was trained
    on. What was frozen when the file was saved stays frozen. Files with Lambda layers, or classes and functions that
    are not of Keras, are refused: they are code.
    """

    reference: ClassVar[str] = "Whoever made the file; faceexp does not know"

    path: InputFile = option(..., "The .keras or .h5 file; relative to the experiment file, ~ is your home.")
    sha256: str | None = option(
        None,
        "Digest of the file: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )
    layer: str | None = option(None, "Layer whose output is the feature; the model's own output if not given.")
    pixels: bool = option(
        False,
        "The model takes pixels from 0 to 255; scale and offset act on these then.",
    )
    scale: float = option(1.0, "Factor on normalised images; about 64 for a model made for 0..255.", gt=0)
    offset: float = option(0.0, "What is added then; about 128 for a model made for 0..255.")

    @field_validator("path")
    @classmethod
    def _is_a_safe_file(cls, path: str) -> str:
        of_option(path, check_network)
        return path

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if "path" not in info.data:
            return sha256
        return of_option(info.data["path"], lambda file: digest_of(file, sha256))

    @field_validator("layer")
    @classmethod
    def _is_a_layer(cls, layer: str | None, info: ValidationInfo) -> str | None:
        if layer is not None and "path" in info.data:
            names = [name for name, _ in _layers(info.data["path"])]
            if layer not in names:
                raise ValueError(f"{info.data['path']} has no layer {layer!r}; {did_you_mean(layer, names)}")
        return layer

    @property
    def trained(self) -> str:
        """The name of the file."""
        return Path(self.path).name

    @classmethod
    def options_for(cls, path: Path) -> dict[str, str | bool] | None:
        """Return that it opens files of Keras; as one knows nothing of other images, it is given pixels as they are."""
        return {"path": str(path), "pixels": True} if path.suffix in (".keras", ".h5") else None

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None] | None:
        """Return what images the file says that it takes."""
        try:
            config = read_description(Path(self.path).expanduser())["config"]["layers"][0]["config"]
            _, height, width, channels = config.get("batch_shape") or config["batch_input_shape"]
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):  # to build it says what is wrong
            return None
        return height, width, channels

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes pixels, as the option says."""
        return self.pixels

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether its last layer is that of a classifier."""
        layers = _layers(self.path)
        names = [name for name, _ in layers]
        used = layers[: names.index(self.layer) + 1] if self.layer in names else layers
        if len(used) < 2 or not used[-1][1]:
            return ()
        # Probabilities may be a layer of their own, behind the one that has a number for each class.
        before = used[-3 if used[-1][1] == "alone" and len(used) > 2 else -2][0]
        whose = f"{self.trained} ends in a classifier, whose last layer {used[-1][0]!r} gives no embedding"
        return (f"{whose}; set layer = {before!r}",)

    def check(self, input_shape: tuple[int, int, int]) -> None:
        """Compare the images with what the file says that it takes.

        Raises:
            InputError: They are others.
        """
        takes = self.image_shape
        if takes and any(side not in (None, given) for side, given in zip(takes, input_shape, strict=True)):
            raise self._takes_others(takes, input_shape)

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
            raise self._takes_others(takes, input_shape)

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

    def _takes_others(self, takes: tuple[int | None, ...], given: tuple[int, int, int]) -> InputError:
        message = f"takes images of shape {_shape(takes)}, not {_shape(given)}; set size and color in [preprocess]"
        return self._wrong(message)

    def _wrong(self, message: str) -> InputError:
        return InputError(Problem(message, where=self.path))


def _layers(path: str) -> list[tuple[str, str]]:
    """Return the name of each layer of a file, and whether it gives probabilities: alone, by its activation, or not."""
    try:
        inside = read_description(Path(path).expanduser())["config"]["layers"]
        configs = [(entry.get("class_name"), entry["config"]) for entry in inside]
        return [(str(config["name"]), _probabilities(kind, config)) for kind, config in configs]
    except (AttributeError, KeyError, TypeError, NetworkFileError):  # to build it says what is wrong with it
        return []


def _probabilities(kind: object, config: dict[str, object]) -> str:
    alone = kind in ("Softmax", "Activation")
    is_softmax = kind == "Softmax" or config.get("activation") == "softmax"
    return ("alone" if alone else "activation") if is_softmax else ""


def _shape(sides: tuple[int | None, ...]) -> str:
    return "x".join("any" if side is None else str(side) for side in sides)
