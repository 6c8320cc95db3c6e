"""The networks of keras.applications as a faceexp plugin."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from faceexp.contract import InputFile, ModelPlugin, option
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.network_files.keras import check_weights
from faceexp.network_files.network import NetworkFileError, check_network_file, digest_of

if TYPE_CHECKING:
    import keras


@functools.cache
def offered() -> tuple[str, ...]:
    """Return the networks of the installed Keras, read in its source: importing it takes seconds."""
    spec = importlib.util.find_spec("keras")
    names = set()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        source = Path(folder, "applications", "__init__.py").read_text(encoding="utf-8")
        imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
        names |= {alias.name for node in imports for alias in node.names if alias.name[0].isupper()}
    return tuple(sorted(names))


class KerasApplication(ModelPlugin):
    """Any network of keras.applications without its classifier, the last map pooled; weights drawn or from a file.

    Nothing is ever downloaded. Images arrive normalised, with mean 0 and deviation 1: what a network has built in for
    pixels of 0..255 is left out, or undone where Keras has no option for that. Weights for colour serve grey images
    too: their one channel is repeated. Moving averages of freshly drawn networks are measured on noise.
    """

    reference: ClassVar[str] = "Keras Applications, whose documentation names the paper of each network"

    name: str = option(..., "Class in keras.applications, for instance MobileNetV2 or ResNet50V2.")
    weights: InputFile | None = option(
        None, "File of weights, .weights.h5 or .h5, of the network without its classifier; drawn if not given."
    )
    sha256: str | None = option(
        None,
        "Digest of the file of weights: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )
    pooling: Literal["avg", "max"] = option("avg", "What of each filter's map is its feature: 'avg' or 'max'.")
    scale: float = option(
        1.0, "Factor on normalised images; weights trained on 0..255 less a mean, as ResNet50's, want about 64.", gt=0
    )
    momentum: float = option(
        0.9,
        "Of batch normalisation's moving averages; Keras's own, 0.99 and more, want thousands of steps.",
        ge=0,
        lt=1,
    )

    @field_validator("name")
    @classmethod
    def _is_offered(cls, name: str) -> str:
        if name not in offered():
            raise ValueError(f"keras.applications has no network {name!r}; {did_you_mean(name, offered())}")
        return name

    @field_validator("weights")
    @classmethod
    def _is_a_file(cls, weights: str | None) -> str | None:
        if weights is not None:
            path = Path(weights).expanduser()
            if path.suffix != ".h5" or not path.exists():
                raise ValueError(f"no such file that ends in .h5: {weights}; nothing is downloaded")
            try:
                check_network_file(path)
                check_weights(path, path.stat().st_size)
            except NetworkFileError as error:
                raise ValueError(f"{weights} {error}") from None
        return weights

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        weights = info.data.get("weights")
        if weights is None:
            return sha256
        try:
            return digest_of(Path(weights).expanduser(), sha256)
        except NetworkFileError as error:
            raise ValueError(f"{weights} {error}") from None

    @property
    def trained(self) -> str:
        """The name of the file of weights."""
        return Path(self.weights).name if self.weights else ""

    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return the trunk: float32 (B, H, W, C) to (B, F), F the filters of the network's last layer.

        Raises:
            InputError: The images are too small for the network, or the weights do not fit it.
        """
        import keras
        import numpy as np

        layers = keras.layers
        network = self._network(input_shape)
        if self.weights and (reason := self._load(network)):
            # Perhaps the weights are for colour; in a new network, since some may have found their place in this one.
            network = self._network((*input_shape[:2], 3))
            if input_shape[2] == 3 or self._load(network):
                message = f"these are no weights of {self.name} without its classifier: {reason}"
                raise InputError(Problem(message, where=self.weights))
        # The EfficientNets of 2019 divide by 255 themselves, and have no option to leave it out.
        factor = self.scale * (255.0 if self.name.startswith("EfficientNetB") else 1.0)
        norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
        if norms and not self.weights:
            # Moving averages that start from mean 0 and variance 1 are far from those of freshly drawn layers, whose
            # outputs shrink: features would vanish, and be wrong until training forgot the start. Noise is near enough.
            for norm in norms:
                norm.momentum = 0.0
            noise = np.random.default_rng(0).standard_normal((16, *network.input_shape[1:]), np.float32)
            network(factor * noise, training=True)
        for norm in norms:
            norm.momentum = self.momentum

        images = x = keras.Input(input_shape, name="images")
        if network.input_shape[-1] != input_shape[2]:
            x = layers.Concatenate(name="colours")([x] * network.input_shape[-1])
        if factor != 1.0:
            x = layers.Rescaling(factor, name="scale")(x)
        return keras.Model(images, network(x), name="keras_application")

    def _network(self, input_shape: tuple[int, int, int]) -> keras.Model:
        import keras

        make = getattr(keras.applications, self.name)
        options = (
            {"include_preprocessing": False} if "include_preprocessing" in inspect.signature(make).parameters else {}
        )
        try:
            return make(include_top=False, weights=None, input_shape=input_shape, pooling=self.pooling, **options)
        except ValueError as error:  # Keras says which size is the smallest
            message = f"{self.name} cannot be built for images of {input_shape[0]}x{input_shape[1]} pixels: {error}"
            raise InputError(Problem(message, where="model 'keras_application'")) from error

    def _load(self, network: keras.Model) -> str:
        """Put the weights into a network; return why they do not fit, or nothing."""
        try:
            network.load_weights(Path(str(self.weights)).expanduser())
        except Exception as error:  # noqa: BLE001 - Keras and h5py raise nearly everything on files that do not fit
            return " ".join(str(error).split())[:300] or type(error).__name__
        return ""
