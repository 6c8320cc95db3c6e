"""Drawn faces of people who do not exist, as a faceexp plugin."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from faceexp.contract import DatasetPlugin, FaceData, option

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
else:
    Array = Any

BLOCK = 32  # images drawn together: what they take fits into a processor's cache

# What makes a person: each number between its bounds. Lengths are in halves of the image's side, seen from the front,
# from the middle of the face; y points down. Numbers are drawn in this order: a new one at the end leaves people alike.
PERSON: dict[str, tuple[float, float]] = {
    "width": (0.46, 0.58),
    "height": (0.62, 0.74),
    "jaw": (0.05, 0.42),  # how much narrower the chin is
    "square": (0.0, 0.7),
    "skin": (0.0, 1.0),  # 0 dark, 1 light
    "hair": (0.0, 1.0),
    "iris": (0.0, 1.0),
    "lips": (0.0, 1.0),
    "eye_x": (0.19, 0.27),
    "eye_y": (-0.14, -0.02),
    "eye_width": (0.085, 0.13),
    "eye_height": (0.035, 0.065),
    "eye_tilt": (-0.25, 0.25),
    "brow_gap": (0.09, 0.17),
    "brow_width": (0.12, 0.18),
    "brow_thickness": (0.012, 0.038),
    "brow_tilt": (-0.05, 0.05),
    "brow_arch": (0.0, 0.06),
    "nose_length": (0.24, 0.36),
    "nose_width": (0.07, 0.13),
    "nose_relief": (0.25, 0.7),
    "mouth_gap": (0.12, 0.19),
    "mouth_width": (0.14, 0.25),
    "lip_top": (0.015, 0.045),
    "lip_bottom": (0.025, 0.06),
    "hairline": (-0.62, -0.34),
    "hair_bend": (-0.3, 1.3),
    "parting": (-0.25, 0.25),
    "hair_volume": (0.02, 0.16),
    "hair_length": (-0.4, 0.9),
    "hair_strands": (3.0, 12.0),
    "ears": (0.06, 0.13),
    "beard": (-1.6, 0.8),  # below 0: none
    "moustache": (-1.6, 0.8),
    "glasses": (-4.0, 1.0),
    "mole_x": (-0.35, 0.35),
    "mole_y": (0.0, 0.4),
    "mole": (-1.0, 1.0),
}
# What differs between images of a person, times the strength that an option gives.
IMAGE: dict[str, tuple[str, float, float]] = {
    "yaw": ("pose", -0.5, 0.5),  # radians
    "pitch": ("pose", -0.2, 0.2),
    "roll": ("pose", -0.2, 0.2),
    "shift_x": ("pose", -0.08, 0.08),
    "shift_y": ("pose", -0.08, 0.08),
    "zoom": ("pose", -0.08, 0.08),
    "light_x": ("light", -1.3, 1.3),  # radians from the front
    "light_y": ("light", -0.5, 0.9),
    "harshness": ("light", -0.3, 0.3),
    "exposure": ("light", -0.35, 0.35),
    "smile": ("expression", -0.6, 1.0),
    "open": ("expression", -0.08, 0.10),
    "brows_up": ("expression", -0.03, 0.06),
    "lids": ("expression", -0.6, 0.3),
    "gaze": ("expression", -0.5, 0.5),
    "background": ("noise", -0.35, 0.35),
    "clothes": ("noise", -0.5, 0.5),
}
# Colours from one end of a scale to the other, red green blue.
SKIN = ((82, 52, 40), (150, 100, 74), (205, 152, 120), (238, 200, 178))
HAIR = ((22, 18, 18), (48, 34, 26), (92, 60, 38), (140, 84, 44), (196, 158, 100), (168, 166, 162))
IRIS = ((52, 32, 20), (96, 66, 36), (88, 104, 70), (104, 138, 176))


def cover(distance: Array, softness: Array | float) -> Array:
    """Return how much of a pixel a shape covers, given the distance from its edge, negative inside."""
    import numpy as np

    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def hill(x: Array, y: Array, width: Array | float, height: Array | float) -> Array:
    """Return a smooth hill: 1 in the middle, 0 from the ellipse of that half width and height on."""
    import numpy as np

    return np.clip(1.0 - (x / width) ** 2 - (y / height) ** 2, 0.0, 1.0) ** 2


def ellipse(x: Array, y: Array, width: Array | float, height: Array | float) -> Array:
    """Return about the distance from an ellipse's edge."""
    import numpy as np

    return (np.sqrt((x / width) ** 2 + (y / height) ** 2) - 1.0) * np.minimum(width, height)


def paint(canvas: Array, mask: Array, color: Array) -> None:
    """Lay a colour (C, B, 1, 1) over the canvas (C, B, H, W) where the mask (B, H, W) says, in place."""
    canvas += mask * (color - canvas)


def scale(colors: tuple[tuple[int, int, int], ...], at: Array, channels: int) -> Array:
    """Return the colour (C, B, 1, 1) at a place between 0 and 1 of a scale; its luminance where C is 1."""
    import numpy as np

    table = np.asarray(colors, np.float32) / np.float32(255)
    if channels == 1:
        table = table @ np.array([[0.299], [0.587], [0.114]], np.float32)
    knots = np.linspace(0.0, 1.0, len(table))
    return np.stack([np.interp(at, knots, column) for column in table.T]).astype(np.float32)


def draw(p: dict[str, Array], size: int, channels: int) -> Array:
    """Return faces, float32 (C, B, S, S) of about 0..1, from numbers (B, 1, 1) named as in PERSON and IMAGE."""
    import numpy as np

    pixel = 2.0 / size
    line = (np.arange(size, dtype=np.float32) + 0.5) * pixel - 1.0
    u, v = np.meshgrid(line, line)
    skin, hair = scale(SKIN, p["skin"], channels), scale(HAIR, p["hair"], channels)

    # Upright coordinates of the head; its surface; and coordinates on the face, as if seen from the front.
    u, v = u - p["shift_x"], v - p["shift_y"] + 0.02
    cos, sin, zoom = np.cos(p["roll"]), np.sin(p["roll"]), 1.06 + p["zoom"]
    x, y = (cos * u + sin * v) / zoom, (cos * v - sin * u) / zoom
    low = np.clip(y / p["height"], 0.0, 1.0)
    nx, ny = x / (p["width"] * (1.0 - p["jaw"] * low * low)), y / p["height"]
    radius = nx * nx + ny * ny
    radius -= p["square"] * np.minimum((nx * ny) ** 2, 0.3)
    nz = np.sqrt(np.clip(1.0 - radius, 0.0, 1.0))
    edge = (np.sqrt(np.maximum(radius, 0.0)) - 1.0) * p["width"]
    head = cover(edge, pixel)
    depth = nz * p["width"]
    fx = x * np.cos(p["yaw"]) - depth * np.sin(p["yaw"])
    fy = y * np.cos(p["pitch"]) - depth * np.sin(p["pitch"])

    # Behind the face: wall, hair, neck, clothes, ears.
    canvas = np.empty((channels, *x.shape), np.float32)
    canvas[:] = 0.55 + p["background"] * (1.0 + 0.3 * v)
    volume = p["hair_volume"]
    mane = ellipse(x, y + 0.1, p["width"] + volume, p["height"] - 0.1 + volume)
    falling = np.maximum(np.abs(x) - p["width"] - 0.7 * volume, np.maximum(-0.1 - y, y - p["hair_length"]))
    strands = p["hair_strands"] * (x * (1.2 - 0.5 * y) + p["parting"])
    strands -= np.floor(strands)
    shine = 0.75 + strands * (1.0 - strands) + 0.5 * hill(x - p["parting"], y + 0.55, 0.5, 0.25)
    locks = hair * shine
    paint(canvas, cover(np.minimum(np.maximum(mane, y - 0.05), falling), pixel), locks)
    paint(canvas, cover(np.maximum(np.abs(x) - 0.62 * p["width"], 0.2 - y), 2 * pixel), 0.72 * skin)
    cloth = np.broadcast_to(0.4 + p["clothes"], skin.shape)
    paint(canvas, cover(ellipse(x, y - 1.32, 1.0, 0.52), pixel), cloth)
    paint(canvas, cover(ellipse(np.abs(x) - p["width"], y - 0.02, p["ears"], 0.15), pixel), 0.85 * skin)

    # The face itself, its light, and what stands on it.
    paint(canvas, head, skin)
    side, height = np.sin(p["light_x"]), np.sin(p["light_y"] + 0.25)
    front = np.sqrt(np.clip(1.0 - side * side - height * height, 0.05, 1.0))
    diffuse = 0.6 + p["harshness"]
    light = 1.0 - 0.85 * diffuse + diffuse * np.clip(nx * side - ny * height + nz * front, 0.0, 1.2)
    _nose(canvas, light, p, fx, fy, skin, side)
    _eyes(canvas, p, fx, fy, skin, hair, pixel)
    _mouth(canvas, p, fx, fy, skin, hair, head, pixel)
    brim = p["hairline"] + p["hair_bend"] * (fx - p["parting"]) ** 2
    paint(canvas, cover(np.maximum(fy - brim, mane), 2 * pixel), locks)
    canvas *= 1.0 + np.maximum(head, 0.4) * (light - 1.0)
    canvas *= 1.0 + p["exposure"]
    return canvas


def part(fx: Array, fy: Array, half: float, top: float, bottom: float) -> tuple[slice, slice, slice]:
    """Return the rows and columns that hold what is that near to the middle of a face and between these heights.

    Whatever is drawn there must end inside: otherwise an image would depend on those drawn together with it.
    """
    import numpy as np

    inside = (np.abs(fx) < half) & (fy > top) & (fy < bottom)
    rows, columns = (np.flatnonzero(inside.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _nose(canvas: Array, light: Array, p: dict[str, Array], fx: Array, fy: Array, skin: Array, side: Array) -> None:
    import numpy as np

    here = part(fx, fy, 0.5, -0.45, 0.65)
    canvas, light, fx, fy = canvas[:, *here], light[here], fx[here], fy[here]
    tip = p["eye_y"] + p["nose_length"]
    # A ridge from the brows to the tip, wider below; turned heads show its side.
    along = np.clip((fy - p["eye_y"]) / p["nose_length"], 0.0, 1.0)
    x = (fx + p["nose_length"] * 0.45 * np.sin(p["yaw"]) * along) / (p["nose_width"] * (0.55 + 0.45 * along))
    slope = x * np.clip(1.0 - 0.4 * x * x, 0.0, 1.0) ** 2
    slope *= cover(fy - tip - 0.02, 0.1) * cover(p["eye_y"] - 0.1 - fy, 0.2)
    light += p["nose_relief"] * slope * (side - 0.25 * np.sign(x)) * (0.4 + 0.6 * along)
    light += 0.14 * hill(x, fy - tip + 0.03, 0.6, 0.07)
    light -= 0.3 * hill(x, fy - tip - 0.04, 1.2, 0.05)
    light -= 0.12 * hill(np.abs(fx) - p["eye_x"], fy - p["eye_y"], 0.17, 0.12)
    light += 0.08 * hill(np.abs(fx) - 0.27, fy - tip + 0.04, 0.16, 0.16)
    paint(canvas, 0.8 * hill(np.abs(x) - 0.5, fy - tip - 0.012, 0.38, 0.024), 0.25 * skin)


def _eyes(canvas: Array, p: dict[str, Array], fx: Array, fy: Array, skin: Array, hair: Array, pixel: float) -> None:
    import numpy as np

    here = part(fx, fy, 0.65, -0.75, 0.3)
    canvas, fx, fy = canvas[:, *here], fx[here], fy[here]
    # One side and its mirror image at once.
    x, y = np.abs(fx) - p["eye_x"], fy - p["eye_y"]
    y = y + p["eye_tilt"] * x
    s = x / p["eye_width"]
    arc = 1.0 - s * s
    upper = -p["eye_height"] * (1.0 + p["lids"]) * arc
    eye = np.maximum(upper - y, y - 0.7 * p["eye_height"] * arc)
    white = cover(eye, pixel)
    paint(canvas, white, np.full_like(skin, 0.9))
    gaze = x - p["gaze"] * 0.4 * p["eye_width"] * np.sign(fx)
    iris = 0.95 * p["eye_height"]
    paint(canvas, white * cover(ellipse(gaze, y, iris, iris), pixel), scale(IRIS, p["iris"], len(canvas)))
    paint(canvas, white * cover(ellipse(gaze, y, 0.45 * iris, 0.45 * iris), pixel), 0.15 * skin)
    near = cover(np.abs(s) - 1.1, 0.2)
    paint(canvas, near * cover(np.abs(y - upper) - 0.011, pixel), 0.2 * skin)
    paint(canvas, 0.4 * near * cover(np.abs(y - upper + 0.035) - 0.008, 2 * pixel), 0.5 * skin)
    # Brows
    s = (x - 0.01) / p["brow_width"]
    middle = p["brow_tilt"] * s - p["brow_gap"] - p["brows_up"] - p["brow_arch"] * (1.0 - s * s)
    thick = p["brow_thickness"] * np.clip(1.15 - 0.5 * s, 0.3, 1.5)
    brow = cover(np.abs(fy - p["eye_y"] - middle) - thick, 1.5 * pixel) * cover(np.abs(s) - 1.0, 0.2)
    paint(canvas, 0.9 * brow, 0.7 * hair)
    # Glasses
    worn = np.clip(4.0 * p["glasses"], 0.0, 1.0)
    ring = np.abs(ellipse(x - 0.005, fy - p["eye_y"] - 0.02, 0.165, 0.125)) - 0.011
    bridge = np.maximum(np.abs(fx) - p["eye_x"] + 0.16, np.abs(y) - 0.011)
    paint(canvas, worn * cover(np.minimum(ring, bridge), pixel), 0.15 * skin)


def _mouth(
    canvas: Array, p: dict[str, Array], fx: Array, fy: Array, skin: Array, hair: Array, head: Array, pixel: float
) -> None:
    import numpy as np

    here = part(fx, fy, 0.8, -0.2, 0.95)
    canvas, fx, fy, head = canvas[:, *here], fx[here], fy[here], head[here]
    tip = p["eye_y"] + p["nose_length"]
    s = fx / (p["mouth_width"] * (1.0 + 0.25 * p["smile"]))
    y = fy - tip - p["mouth_gap"] + 0.1 * p["smile"] * (s * s - 0.4)
    arc = 1.0 - s * s
    beard, moustache = np.clip(p["beard"], 0.0, 0.8), np.clip(p["moustache"], 0.0, 0.8)
    cheek = cover(0.25 - fy + 0.5 * (np.abs(fx) - 0.3), 0.12) * cover(0.055 - np.abs(y) - 0.4 * fx * fx, 0.06)
    paint(canvas, beard * head * cheek, 0.8 * hair)
    paint(canvas, moustache * cover(ellipse(s, (y + 0.075) / 0.3, 1.15, 0.14), 0.15), 0.8 * hair)
    gap = np.maximum(p["open"], 0.0)
    above, below = -(p["lip_top"] + gap) * arc, (p["lip_bottom"] + gap) * arc
    rose = scale(((96, 44, 44), (150, 76, 72), (186, 92, 90)), 0.5 * p["lips"] + 0.5 * p["skin"], len(canvas))
    paint(canvas, cover(np.maximum(above - y, y - below), pixel), rose)
    inside = cover(np.abs(y) - gap * arc, pixel) * cover(-arc, 0.2)
    paint(canvas, inside, 0.25 * rose)
    paint(canvas, inside * cover(y + 0.2 * gap, pixel), np.full_like(skin, 0.85))
    paint(canvas, 0.8 * cover(np.abs(y) - 0.007, pixel) * cover(np.abs(s) - 1.02, 0.1), 0.4 * rose)
    paint(canvas, 0.3 * hill(s, y - p["lip_bottom"] - gap - 0.05, 0.7, 0.05), 0.6 * skin)
    mole = cover(ellipse(fx - p["mole_x"], fy - p["mole_y"], 0.02, 0.02), pixel)
    paint(canvas, np.clip(4.0 * p["mole"], 0.0, 0.8) * mole, 0.35 * skin)


class Synthetic(DatasetPlugin):
    """Drawn faces of people who do not exist, as many as wanted; nothing is downloaded.

    A person is some forty numbers: shape of the head, eyes, brows, nose, mouth, hair, skin, glasses, beard. Images of a
    person differ by pose, light, expression and noise, whose strengths are options. Image k of person p is the same
    however many there are; another seed draws other people.
    """

    licence: ClassVar[str] = "Shows nobody; free for any use"
    source: ClassVar[str] = "Drawn by faceexp-dataset-synthetic"

    people: int = option(700, "How many people.", unit="identities", ge=2, le=100_000)
    images_per_person: int = option(5, "Images of each.", unit="images", ge=1, le=1000)
    size: int = option(96, "Side of the square images.", unit="pixels", ge=16, le=512)
    color: Literal["gray", "rgb"] = option("gray", "'gray' or 'rgb'.")
    seed: int = option(0, "Draws other people.", ge=0, le=2**32 - 1)
    pose: float = option(0.4, "How far heads turn, tilt and move; 1 is up to 29 degrees to a side.", ge=0, le=1)
    light: float = option(0.4, "How much the direction, harshness and amount of light differ.", ge=0, le=1)
    expression: float = option(0.4, "How much mouths, brows, lids and gaze move.", ge=0, le=1)
    noise: float = option(0.4, "How much pixels, walls and clothes differ; 1 is a deviation of 15 of 255.", ge=0, le=1)

    def build(self, seed: int) -> FaceData:
        """Return the images, uint8 (N, S, S) or (N, S, S, 3), person by person."""
        import numpy as np

        labels = np.repeat(np.arange(self.people, dtype=np.int32), self.images_per_person)
        channels = 3 if self.color == "rgb" else 1
        pixels = np.empty((len(labels), self.size, self.size, channels), np.uint8)
        persons = [
            np.random.default_rng([self.seed, seed, person, 0]).random(len(PERSON)) for person in range(self.people)
        ]
        for start in range(0, len(labels), BLOCK):
            rows = range(start, min(start + BLOCK, len(labels)))
            # A generator of its own for each image: none depends on how many others there are.
            places = [divmod(row, self.images_per_person) for row in rows]
            randoms = [np.random.default_rng([self.seed, seed, person, image + 1]) for person, image in places]
            numbers = self._numbers([persons[person] for person, _ in places], randoms)
            drawn = draw(numbers, self.size, channels)
            grains = np.stack([random.standard_normal((self.size, self.size), np.float32) for random in randoms])
            drawn += 0.06 * self.noise * grains
            pixels[rows.start : rows.stop] = np.moveaxis(np.clip(255 * drawn + 0.5, 0, 255), 0, -1)
        if channels == 1:
            pixels = pixels.reshape(pixels.shape[:3])
        digest = hashlib.sha256(pixels.data)
        digest.update(labels.data)
        return FaceData(
            images=pixels,
            labels=labels,
            identities=tuple(f"person{number:06d}" for number in range(self.people)),
            fingerprint=digest.hexdigest(),
            licence=self.licence,
            source=self.source,
        )

    def _numbers(self, persons: list[Array], randoms: list[np.random.Generator]) -> dict[str, Array]:
        """Return what :func:`draw` wants, float32 (B, 1, 1) each."""
        import numpy as np

        bounds = [*PERSON.values()]
        bounds += [(getattr(self, cause) * low, getattr(self, cause) * high) for cause, low, high in IMAGE.values()]
        low, high = np.array(bounds).T
        drawn = np.hstack([persons, [random.random(len(IMAGE)) for random in randoms]])
        values = (low + (high - low) * drawn).astype(np.float32)
        return {name: column[:, None, None] for name, column in zip([*PERSON, *IMAGE], values.T, strict=True)}
