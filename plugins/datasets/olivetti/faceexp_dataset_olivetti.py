"""The Olivetti faces as a faceexp plugin, from the file that scikit-learn fetches."""

from __future__ import annotations

import hashlib
import io
import os
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from faceexp.contract import AnyPath, DatasetPlugin, FaceData, option, user_path
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    import numpy as np

# Name, address and checksum are those of scikit-learn; a test compares them with the installed one.
NAME = "olivettifaces.mat"
URL = "https://ndownloader.figshare.com/files/5976027"
SHA256 = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
MAX_FILE_BYTES = 64 * 2**20

PEOPLE, IMAGES, SIDE = 40, 10, 64


def data_folder(data_home: AnyPath | None) -> Path:
    """Return scikit-learn's data folder, without making it as its own function does."""
    folder = data_home or os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"
    return user_path(folder)


class Olivetti(DatasetPlugin):
    """Olivetti faces: 40 people, 10 grey images of 64x64 pixels each, the ORL faces in a smaller size.

    Read from ``olivettifaces.mat``, the file that scikit-learn fetches, in scikit-learn's data folder: a plain MATLAB
    matrix, opened only if its SHA-256 is right. What scikit-learn itself keeps there, ``olivetti.pkz``, is a pickle,
    which may run anything when it is opened, and is not read. The network is used with ``download = true`` alone,
    through scikit-learn. Identities are the numbers 0 to 39, in scikit-learn's order.
    """

    licence: ClassVar[str] = "Free for research use with acknowledgement of AT&T Laboratories Cambridge"
    source: ClassVar[str] = (
        "AT&T Laboratories Cambridge, The Database of Faces, as a MATLAB file by S. Roweis, "
        "https://cs.nyu.edu/~roweis/data.html; F. Samaria, A. Harter: Parameterisation of a stochastic model for human "
        "face identification. IEEE Workshop on Applications of Computer Vision 1994"
    )

    data_home: AnyPath | None = option(
        None, "Data folder of scikit-learn; $SCIKIT_LEARN_DATA or ~/scikit_learn_data if not given."
    )
    download: bool = option(False, "Fetch the file from the network if it is missing; nothing is fetched otherwise.")

    def build(self, seed: int) -> FaceData:
        """Return the images, uint8 (400, 64, 64), person by person.

        Raises:
            InputError: The file is missing, with what to fetch from where; or it is another one.
        """
        import numpy as np

        path = data_folder(self.data_home) / NAME
        try:
            if self.download:
                _fetch(path)
            faces = _read(path)
        except OSError as error:
            raise InputError(Problem(f"cannot be read: {error.strerror or error}", where=str(path))) from error
        # One image a column, itself column after column as MATLAB stores matrices.
        images = np.ascontiguousarray(faces.T.reshape(-1, SIDE, SIDE).transpose(0, 2, 1))
        return FaceData(
            images=images,
            labels=np.repeat(np.arange(PEOPLE, dtype=np.int32), IMAGES),
            identities=tuple(str(person) for person in range(PEOPLE)),
            fingerprint=hashlib.sha256(images.tobytes()).hexdigest(),
            licence=self.licence,
            source=self.source,
        )


def _how() -> str:
    return f"download {URL} (about 4 MB, SHA-256 {SHA256}) and save it under this name"


def _fetch(path: Path) -> None:
    from sklearn.datasets import fetch_file

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch_file(URL, folder=path.parent, local_filename=path.name, sha256=SHA256, n_retries=0)
    except (OSError, HTTPException) as error:
        raise InputError(Problem(f"cannot be fetched ({error}); {_how()}", where=str(path))) from error


def _read(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the matrix of the file, uint8 (4096, 400), or raise what is wrong with the file."""
    import numpy as np
    from scipy.io import loadmat

    where = str(path)
    if not path.is_file():
        pickled = path.with_name("olivetti.pkz").exists()
        note = "; olivetti.pkz beside it is scikit-learn's pickle, which is not read" if pickled else ""
        raise InputError(Problem(f"missing{note}; {_how()}, or set download = true in [dataset]", where))
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(Problem(f"has more than {MAX_FILE_BYTES:,} bytes, so it is another file; {_how()}", where))
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(Problem(f"damaged or another file: its SHA-256 is {found}; {_how()}", where))
    faces = np.asarray(loadmat(io.BytesIO(content), variable_names=["faces"])["faces"])
    return faces.astype(np.uint8)
