"""From pixels to features with a network of any format: what its input looks like, and what is made of its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.network_files.network import NetworkFileError, OpenNetwork, Port, reason_of, sides

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray, ByteArray, FloatArray

Layout = Literal["auto", "nchw", "nhwc"]
Channels = Literal["rgb", "bgr"]
# A number for all channels, or one for each, in the order in which the network takes them.
OfChannels = float | Sequence[float]
COLORS = {1: ("grey", "gray"), 3: ("RGB", "rgb")}


@dataclass(frozen=True)
class Pixels:
    """How a network takes the pixels of an image.

    Attributes:
        mean: What is subtracted from pixels of 0 to 255.
        scale: What they are divided by then.
        channels: The order of the channels.
        layout: Where the channels are, or ``"auto"`` where the shape of the input says it.
    """

    mean: OfChannels = 0.0
    scale: OfChannels = 1.0
    channels: Channels = "rgb"
    layout: Layout = "auto"


@dataclass(frozen=True)
class TakenImages:
    """What a network takes: ``None`` for sizes that are free."""

    batch: int | None
    height: int | None
    width: int | None
    channels: int
    first: bool  # whether the channels come before height and width


def features_of(
    network: OpenNetwork, shape: tuple[int, int, int], pixels: Pixels, output: str | None = None
) -> Callable[[ByteArray], FloatArray]:
    """Return the function from pixels uint8 (B, H, W, C), red first, to features float32 (B, F); B may vary.

    Of a map, the mean of each channel is its feature. Grey images are repeated where the network takes colours.

    Args:
        network: The network.
        shape: Height, width and channels of the images.
        pixels: How the network takes them.
        output: The name of the output; there may be only one if none is named.

    Raises:
        NetworkFileError: It takes other images, or gives no features.
    """
    takes = taken_images(network, shape, pixels)
    gives = chosen_output(network.outputs, output)

    def run(images: ByteArray) -> FloatArray:
        # A network whose batches have a fixed size gets full ones; what fills up the last is cut off again.
        size = takes.batch or max(1, len(images))
        blocks = []
        for start in range(0, len(images), size):
            block = np.asarray(images[start : start + size])
            missing = size - len(block)
            whole = np.concatenate([block, np.zeros((missing, *shape), np.uint8)]) if missing else block
            values = _flat(network.run(_prepared(whole, takes, pixels), gives.name), size, first=takes.first)
            blocks.append(values[: len(block)])
        return np.concatenate(blocks)

    # Some networks say that their batches may have any size, and are made for one image only. They fail here.
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    try:
        width = run(noise).shape[1]
    except NetworkFileError:
        raise
    except Exception as error:
        raise NetworkFileError(f"takes no images of {_size(shape)} pixels: {reason_of(error)}") from error
    return lambda images: run(images) if len(images) else np.zeros((0, width), np.float32)


def opened_from(
    path: str,
    open_network: Callable[[Path], OpenNetwork],
    shape: tuple[int, int, int],
    pixels: Pixels,
    output: str | None,
) -> Callable[[ByteArray], FloatArray]:
    """Return the function from pixels to features with the network of a file; see :func:`features_of`.

    Args:
        path: The file, as an option of a plugin names it.
        open_network: Opens it.
        shape: Height, width and channels of the images.
        pixels: How the network takes them.
        output: The name of the output.

    Raises:
        InputError: The file cannot be opened, or takes other images, or gives no features.
    """
    try:
        return features_of(open_network(Path(path).expanduser()), shape, pixels, output)
    except NetworkFileError as error:
        raise InputError(Problem(str(error), where=path)) from error


def shape_of_file(
    path: str, open_network: Callable[[Path], OpenNetwork], layout: Layout = "auto"
) -> tuple[int | None, int | None, int | None] | None:
    """Return the images that the network of a file takes; ``None`` where it cannot be opened, which says why then."""
    try:
        return image_shape(open_network(Path(path).expanduser()), layout)
    except NetworkFileError:
        return None


def image_shape(network: OpenNetwork, layout: Layout) -> tuple[int | None, int | None, int | None] | None:
    """Return height, width and channels of the images that a network takes; ``None`` for what it leaves open."""
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
        return None
    _, second, third, fourth = network.inputs[0].shape
    first = layout == "nchw" or (layout == "auto" and second in COLORS and fourth not in COLORS)
    return (third, fourth, second) if first else (second, third, fourth)


def taken_images(network: OpenNetwork, shape: tuple[int, int, int], pixels: Pixels) -> TakenImages:
    """Return what a network takes, if images of this shape are that."""
    if len(network.inputs) != 1:
        raise NetworkFileError(f"has {len(network.inputs)} inputs ({_names(network.inputs)}); images are a single one")
    (port,) = network.inputs
    if len(port.shape) != 4:
        raise NetworkFileError(f"takes numbers of shape {sides(port.shape)}, which are no batch of images")
    batch, second, third, fourth = port.shape
    first = pixels.layout == "nchw"
    if pixels.layout == "auto":
        first = second in COLORS
        if first == (fourth in COLORS):
            message = f"takes numbers of shape {sides(port.shape)}, which does not say where the channels are"
            raise NetworkFileError(f'{message}; set layout = "nchw" or "nhwc"')
    channels = second if first else fourth
    height, width = (third, fourth) if first else (second, third)
    if channels is not None and channels not in COLORS:
        raise NetworkFileError(f"takes images of {channels} channels; images are grey (1) or RGB (3)")
    takes = TakenImages(batch, height, width, shape[2] if channels is None else channels, first)
    fits = takes.height in (None, shape[0]) and takes.width in (None, shape[1])
    if not fits or shape[2] not in COLORS or (takes.channels, shape[2]) == (1, 3):
        wanted = (takes.height or shape[0], takes.width or shape[1])
        words, name = COLORS[takes.channels]
        raise NetworkFileError(
            f'takes {wanted[0]} x {wanted[1]} {words}; set size = [{wanted[0]}, {wanted[1]}] and color = "{name}" in '
            "[preprocess]"
        )
    for name, numbers in (("mean", pixels.mean), ("scale", pixels.scale)):
        if isinstance(numbers, Sequence) and len(numbers) != takes.channels:
            message = f"takes images of {takes.channels} channels, but {name} has {len(numbers)} numbers"
            raise NetworkFileError(f"{message}; give one, or one for each channel")
    if port.is_whole and not (np.all(np.asarray(pixels.mean) == 0) and np.all(np.asarray(pixels.scale) == 1)):
        raise NetworkFileError("takes whole numbers from 0 to 255; leave out mean and scale")
    return takes


def chosen_output(outputs: tuple[Port, ...], name: str | None) -> Port:
    """Return the output that has a name, or the only one."""
    if name is None:
        if len(outputs) != 1:
            message = f"gives {len(outputs)} outputs ({_names(outputs)})"
            raise NetworkFileError(f"{message}; name the one with the features, such as output = {outputs[0].name!r}")
        return outputs[0]
    for port in outputs:
        if port.name == name:
            return port
    raise NetworkFileError(f"has no output {name!r}; {did_you_mean(name, [port.name for port in outputs])}")


def _prepared(images: ByteArray, takes: TakenImages, pixels: Pixels) -> AnyArray:
    """Return images as the network takes them."""
    numbers: AnyArray = images
    if takes.channels > numbers.shape[3]:
        numbers = np.repeat(numbers, takes.channels, axis=3)
    if pixels.channels == "bgr":
        numbers = numbers[..., ::-1]
    numbers = numbers.astype(np.float32)
    if np.any(np.asarray(pixels.mean) != 0):
        numbers -= np.asarray(pixels.mean, np.float32)
    if np.any(np.asarray(pixels.scale) != 1):
        numbers /= np.asarray(pixels.scale, np.float32)
    return np.ascontiguousarray(numbers.transpose(0, 3, 1, 2) if takes.first else numbers)


def _flat(values: AnyArray, batch: int, *, first: bool) -> FloatArray:
    """Return one vector for each image; of a map, the mean of each channel."""
    values = np.asarray(values)
    if values.ndim not in (2, 4) or not values.size:
        shape = sides(values.shape[1:]) or "no"
        raise NetworkFileError(f"gives {shape} numbers for an image, neither a vector nor a map; name another output")
    if len(values) != batch:
        raise NetworkFileError(f"gives {len(values)} vectors for {batch} images; export it for batches of one image")
    values = values.astype(np.float32)
    return values.mean(axis=(2, 3) if first else (1, 2)) if values.ndim == 4 else values


def _names(ports: Iterable[Port]) -> str:
    return ", ".join(port.name for port in ports)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
