"""Sets of TensorFlow Datasets as a faceexp plugin."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from faceexp.contract import AnyPath, DatasetPlugin, FaceData, option, user_path
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.quiet import silence

# Numbers of the extracted files. Records are shuffled, so that none is "image 2 of a person": numbers that a list of
# pairs never has make such a list fail instead of comparing the wrong images.
FIRST_NUMBER = 100_000_000


class Tfds(DatasetPlugin):
    """A face set of TensorFlow Datasets that was fetched before: each record one image and whom it shows.

    The images are taken out of the records once, as they were encoded, into a cache folder. Records are shuffled and do
    not say which image of a person they hold: lists of pairs that name images by number, such as that of LFW, do not
    fit; use the files themselves for those.
    """

    licence: ClassVar[str] = "Whatever the set's makers grant; see its page in the catalogue of TensorFlow Datasets"
    source: ClassVar[str] = "TensorFlow Datasets"

    name: str = option(
        ...,
        "As TensorFlow Datasets calls it, with configuration and version if wanted: 'lfw', 'set/config:1.0.0'.",
        pattern=r"^[a-z][a-z0-9_]*(/[A-Za-z0-9_.\-]+)?(:\d+\.\d+\.\d+)?$",
    )
    split: str = option("train", "Part of the set, also a slice: 'train', 'train+test', 'train[:10%]'.", min_length=1)
    image_key: str = option("image", "Feature that holds the image.", min_length=1)
    label_key: str = option("label", "Feature that says whom it shows.", min_length=1)
    data_dir: AnyPath | None = option(
        None, "Folder of prepared sets; $TFDS_DATA_DIR or ~/tensorflow_datasets if not given."
    )
    cache_dir: AnyPath | None = option(None, "Folder for extracted images; your cache folder if not given.")
    download: bool = option(default=False, description="Fetch and prepare the set if it is missing.")

    def build(self, seed: int) -> FaceData:
        """Return the paths of the extracted images, in the order of the records.

        Raises:
            InputError: The set is missing, or has other features or splits; what to run is said.
        """
        import numpy as np

        prepared = self._prepared()
        key = json.dumps([_state(prepared), self.split, self.image_key, self.label_key])
        folder = self._cache() / self.name.partition(":")[0].replace("/", "-") / _digest(key.encode())[:20]
        if not (folder / "index.json").is_file():
            self._extract(prepared, folder)
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        identities, labels = np.unique(np.array(index["names"], dtype=str), return_inverse=True)
        if len(identities) < 2:
            raise self._wrong(f"{self.split!r} shows {len(identities)} people; a comparison of faces needs two or more")
        return FaceData(
            images=tuple(folder / _file(number) for number in range(len(labels))),
            labels=labels.astype(np.int32),
            identities=tuple(str(name) for name in identities),
            fingerprint=index["fingerprint"],
            licence=index["licence"] or self.licence,
            source=f"{self.source}: {self.name}; {index['homepage']}".removesuffix("; "),
        )

    def _root(self) -> Path:
        given = self.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        return user_path(given)

    def _cache(self) -> Path:
        import platformdirs

        return user_path(self.cache_dir or str(Path(platformdirs.user_cache_dir("faceexp")) / "tfds"))

    def _prepared(self) -> Path:
        """Return the folder of the newest version, or the one asked for; fetch it if that is allowed."""
        found = _versions(self._root(), self.name)
        if not found and self.download:
            try:
                library = _library()
                _retry_little()
                library.builder(self.name, data_dir=str(self._root())).download_and_prepare()
            except InputError:
                raise
            except Exception as error:  # the library, its builders and the network raise nearly everything
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                raise self._wrong(f"cannot be fetched: {reason}") from error
            found = _versions(self._root(), self.name)
        if found:
            return found[-1]
        root = self._root()
        bare = self.name.partition(":")[0]
        configurations = sorted({f"{bare}/{path.parts[-3]}" for path in (root / bare).glob("*/*/features.json")})
        others = sorted(path.name for path in root.glob("[a-z]*") if path.is_dir())
        hint = f"; name one of {', '.join(configurations)}" if configurations else ""
        hint = hint or f"; {did_you_mean(bare, others, always_list=False)}".removesuffix("; ")
        raise self._wrong(
            f"is not prepared in {root}{hint}; fetch it with download = true, or run: "
            f"python -c \"import tensorflow_datasets as tfds; tfds.builder('{self.name}', data_dir='{root}')"
            '.download_and_prepare()"'
        )

    def _extract(self, prepared: Path, folder: Path) -> None:
        """Write every image of the split into a folder that appears when it is complete."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="incomplete-", dir=folder.parent))
        try:
            digest = hashlib.sha256()
            names = []
            info, records = self._records(prepared)
            for number, (image, name) in enumerate(records):
                file = draft / _file(number)
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(image)
                names.append(name)
                digest.update(f"{name}\0{_digest(image)}\n".encode())
            index = {
                "names": names,
                "fingerprint": digest.hexdigest(),
                "licence": str(info.redistribution_info.license or "").strip(),
                "homepage": str(info.homepage or ""),
            }
            (draft / "index.json").write_text(json.dumps(index), encoding="utf-8")
            if not (folder / "index.json").is_file():  # another process may have been faster
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _records(self, prepared: Path) -> tuple[Any, Iterator[tuple[bytes, str]]]:
        """Return what the library says of the set, and its records: the image as it was encoded, whom it shows."""
        tfds = _library()
        with silence():
            builder = tfds.builder_from_directory(str(prepared))
        features = dict(builder.info.features)
        for option_, key in (("image_key", self.image_key), ("label_key", self.label_key)):
            if key not in features:
                raise self._wrong(f"has no feature {key!r} for {option_}; {did_you_mean(key, features)}")
        image, label = features[self.image_key], features[self.label_key]
        if not isinstance(image, tfds.features.Image):
            raise self._wrong(f"the feature {self.image_key!r} is no image but {type(image).__name__}; set image_key")
        if label.shape != ():
            raise self._wrong(f"the feature {self.label_key!r} is not one name or number an image; set label_key")
        try:
            with silence():
                records = builder.as_dataset(
                    split=self.split,
                    shuffle_files=False,
                    decoders=tfds.decode.PartialDecoding(
                        {self.image_key: image, self.label_key: label},
                        decoders={self.image_key: tfds.decode.SkipDecoding()},
                    ),
                )
        except ValueError as error:
            known = ", ".join(builder.info.splits)
            raise self._wrong(f"has no split {self.split!r}; known: {known}") from error

        def name(value: Any) -> str:  # noqa: ANN401 - bytes or a number
            if isinstance(label, tfds.features.ClassLabel):
                return str(label.int2str(int(value)))
            return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)

        rows = tfds.as_numpy(records)
        return builder.info, ((bytes(row[self.image_key]), name(row[self.label_key])) for row in rows)

    def _wrong(self, message: str) -> InputError:
        return InputError(Problem(message, where=f"dataset 'tfds', {self.name}"))


def _library() -> Any:  # noqa: ANN401 - it has no types
    if importlib.util.find_spec("tensorflow_datasets") is None:
        message = "TensorFlow Datasets is not installed; run: pip install tensorflow-datasets"
        raise InputError(Problem(message, where="dataset 'tfds'"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence():
        return importlib.import_module("tensorflow_datasets")


def _retry_little() -> None:
    """Let the library give up after seconds where there is no network, and not after minutes."""
    downloader = importlib.import_module("tensorflow_datasets.core.download.downloader")
    # It waits twice as long before each try; the tenth and last comes after 200 seconds.
    downloader.MAX_RETRIES = 4  # type: ignore[attr-defined]


def _versions(root: Path, name: str) -> list[Path]:
    """Return the folders of prepared versions, oldest first; of the one version if the name has one."""
    bare, _, version = name.partition(":")
    folders = [path.parent for path in (root / bare).glob(f"{version or '*.*.*'}/features.json")]
    return sorted(folders, key=lambda folder: [int(part) if part.isdigit() else -1 for part in folder.name.split(".")])


def _state(prepared: Path) -> list[list[Any]]:
    """Return what changes when a set is prepared anew: its files, their sizes and times."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(prepared.iterdir())]


def _file(number: int) -> str:
    return f"{number // 1000:06d}/{FIRST_NUMBER + number}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
