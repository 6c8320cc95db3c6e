"""The images of a data set by the ends of their paths, as lists name them."""

from __future__ import annotations

from collections import defaultdict

from faceexp.contract import FaceData
from faceexp.data.face_data import image_name, one_form, path_of, some
from faceexp.files import readable_name


class ImageNames:
    """The images of a data set by the ends of their paths: ``Ann_Lee/0004.jpg``, or or ``0004.jpg``."""

    def __init__(self, data: FaceData) -> None:
        self._data = data
        # By the last part of the path, and by the last two: every person may have a 0001.jpg.
        self._files: dict[str, list[int]] = defaultdict(list)
        self._in_folders: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in range(len(data.images)):
            path = path_of(data, index)
            if path:
                name = _readable(path.name)
                self._files[name].append(index)
                self._in_folders[_readable(path.parent.name), name].append(index)

    def __bool__(self) -> bool:
        return bool(self._files)

    def find(self, text: str) -> list[int]:
        """Return the images whose paths end like this."""
        ending = [part for part in one_form(text).split("/") if part not in ("", ".")]
        if len(ending) < 2:
            return self._files.get(ending[0], []) if ending else []
        alike = self._in_folders.get((ending[-2], ending[-1]), [])
        return alike if len(ending) == 2 else [image for image in alike if self._ends_with(image, ending)]

    def several(self, text: str, images: list[int]) -> str:
        """Return that several images are called like this."""
        examples = some([repr(image_name(self._data, image)) for image in images])
        return f"{len(images)} images are called {text!r} ({examples}); write more of the path in front"

    def missing(self, text: str) -> str:
        """Return that no image is called like this."""
        if not self:
            return "the images of the data set have no file names, by which lists name them"
        return f"the data set has no image called {text!r}; write the end of its path, such as Ann_Lee/0004.jpg"

    def _ends_with(self, image: int, ending: list[str]) -> bool:
        path = path_of(self._data, image)
        return path is not None and [_readable(part) for part in path.parts[-len(ending) :]] == ending


def _readable(name: str) -> str:
    return one_form(readable_name(name))
