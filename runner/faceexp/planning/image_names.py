"""The images of a data set by the ends of their paths, as lists name them."""

from __future__ import annotations

import os

from faceexp.contract import FaceData
from faceexp.data.face_data import image_name, one_form, path_of, some
from faceexp.files import readable_name

# The images of one name: the only one as a number, since a list for each of a million would take half a gigabyte.
Numbers = int | list[int]


class ImageNames:
    """The images of a data set by the ends of their paths: ``Ann_Lee/0004.jpg``, or ``0004.jpg``."""

    def __init__(self, data: FaceData) -> None:
        self._data = data
        # By so many last parts of the path, which are looked at when a list first names so many: one, or two, since
        # every person may have a 0001.jpg.
        self._by_ending: dict[int, dict[str, Numbers]] = {}

    def __bool__(self) -> bool:
        return path_of(self._data, 0) is not None

    def find(self, text: str) -> list[int]:
        """Return the images whose paths end like this."""
        found = self._numbers(text)
        return [found] if isinstance(found, int) else found

    def only(self, text: str) -> int:
        """Return the one image whose path ends like this; -1 where there is none, or several."""
        found = self._numbers(text)
        return found if isinstance(found, int) else found[0] if len(found) == 1 else -1

    def several(self, text: str, images: list[int]) -> str:
        """Return that several images are called like this."""
        examples = some([repr(image_name(self._data, image)) for image in images])
        return f"{len(images)} images are called {text!r} ({examples}); write more of the path in front"

    def missing(self, text: str) -> str:
        """Return that no image is called like this."""
        if not self:
            return "the images of the data set have no file names, by which lists name them"
        return f"the data set has no image called {text!r}; write the end of its path, such as Ann_Lee/0004.jpg"

    def _numbers(self, text: str) -> Numbers:
        ending = [part for part in one_form(text).split("/") if part not in ("", ".")]
        if not ending:
            return []
        alike = self._named(min(len(ending), 2)).get("/".join(ending[-2:]), [])
        if len(ending) < 3:
            return alike
        images = [alike] if isinstance(alike, int) else alike
        return [image for image in images if self._ending(image, len(ending)) == "/".join(ending)]

    def _named(self, parts: int) -> dict[str, Numbers]:
        """Return the images by so many last parts of their paths."""
        if parts not in self._by_ending:
            named: dict[str, Numbers] = {}
            for image in range(len(self._data.images)):
                ending = self._ending(image, parts)
                if ending is None:
                    continue
                others = named.setdefault(ending, image)
                if isinstance(others, list):
                    others.append(image)
                elif others != image:
                    named[ending] = [others, image]
            self._by_ending[parts] = named
        return self._by_ending[parts]

    def _ending(self, image: int, parts: int) -> str | None:
        path = path_of(self._data, image)
        if path is None:
            return None
        text = str(path) if os.sep == "/" else path.as_posix()
        ending = "/".join(text.rsplit("/", parts)[-parts:])
        return ending if ending.isascii() else one_form(readable_name(ending))
