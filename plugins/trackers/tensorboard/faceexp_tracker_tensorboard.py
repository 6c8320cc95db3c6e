"""TensorBoard: a run becomes event files that TensorBoard shows, written by its own package and without TensorFlow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import (
    AnyPath,
    ByteArray,
    FacesTold,
    TrackedEnd,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrackerPlugin,
    option,
)

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

# How TensorBoard knows event files, by the beginning of their names.
EVENTS = "events.out.tfevents."
# What the projector reads: where everything is, which has to be called so, embeddings, identities and photos.
CONFIG, TENSORS, METADATA, SPRITE = "projector_config.pbtxt", "embeddings.tsv", "metadata.tsv", "photos.png"


class TensorBoard(TrackerPlugin):
    """TensorBoard: curves, settings and metrics of every trial as event files.

    Each trial is a run of TensorBoard of its own. Its scalars are ``curve/loss`` and ``curve/validation`` by step, and
    every metric as ``metrics/NAME`` at the step whose weights are kept. HPARAMS shows its settings beside them. What
    the run found stands below TEXT. With ``projector``, PROJECTOR shows the embeddings of its test images.
    """

    faces_option: ClassVar[str | None] = "projector"

    folder: AnyPath | None = option(
        None,
        "The folder in which each run gets a folder with its event files; by default they lie in `tensorboard` in the "
        "folder of the run.",
    )

    projector: FacesTold = option(
        "none",
        "What PROJECTOR shows of the test images of each trial: their embeddings with the names of the people, or "
        "small photos as well. These are data about people, and the files stay where the event files are.",
    )

    def open(self, run: TrackedRun) -> Tracker:
        """Return what writes the event files of a run; they begin anew where the same run was recorded before."""
        import tensorboard.plugins.hparams.summary_v2  # noqa: F401 - whoever lacks it is told at once

        return EventFiles(Path(self.folder) / run.folder.name if self.folder else run.folder / "tensorboard")


class EventFiles(Tracker):
    """The event files of one run: a folder for each trial, and what was found beside these."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder

    def trial_ended(self, trial: TrackedTrial) -> None:
        """Write the file of a trial, and first what the projector reads: it looks there when a run appears."""
        folder = self._folder / trial.id
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in (CONFIG, TENSORS, METADATA, SPRITE):
            (folder / earlier).unlink(missing_ok=True)
        try:
            if trial.faces:
                write_projection(folder, trial.faces)
        finally:
            self._write(folder, of_trial(trial))

    def run_ended(self, end: TrackedEnd) -> None:
        """Write what was found."""
        self._write(self._folder, [(0, text("finding", end.finding)), (0, text("report", str(end.report)))])

    def _write(self, folder: Path, summaries: Iterator[tuple[int, Summary]] | list[tuple[int, Summary]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.glob(f"{EVENTS}*"):
            earlier.unlink()
        now = time.time()
        with (folder / f"{EVENTS}{now:.0f}.faceexp").open("wb") as file:
            writer = RecordWriter(file)
            writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            for step, summary in summaries:
                writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())


def of_trial(trial: TrackedTrial) -> Iterator[tuple[int, Summary]]:
    """Yield everything that is written of a trial, each with its step."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    settings = {"label": trial.label, "seed": trial.seed, "fold": trial.fold, **trial.settings}
    yield 0, hparams_pb(settings, trial_id=trial.id)
    for point in trial.curve:
        for name, value in (("loss", point.loss), ("validation", point.validation)):
            if value is not None:
                yield point.step, scalar(f"curve/{name}", value)
    for name, value in trial.metrics.items():
        yield trial.best_step, scalar(f"metrics/{name}", value)
    if trial.status != "ok":
        yield 0, text("status", f"{trial.status}: {trial.reason}")
    yield 0, _session_end(is_well=trial.status == "ok")


def write_projection(folder: Path, faces: Path) -> None:
    """Write what the projector shows of a trial.

    Args:
        folder: The folder of its event file.
        faces: Its test images, as :class:`TrackedTrial` has them.
    """
    import numpy as np
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    with np.load(faces, allow_pickle=False) as file:
        embeddings, identities = file["embeddings"], file["identities"]
        photos = file["photos"] if "photos" in file.files else None
    config = ProjectorConfig()
    shown = config.embeddings.add(tensor_name="test", tensor_path=TENSORS, metadata_path=METADATA)
    # Nine digits give every float32 back. TensorBoard reads its binary format as text first, and may take it for that.
    np.savetxt(folder / TENSORS, embeddings, fmt="%.9g", delimiter="\t")
    lines = "".join(f"{' '.join(str(name).split())}\n" for name in identities)
    # A file with one column has no heading.
    (folder / METADATA).write_text(lines, encoding="utf-8", errors="backslashreplace")
    if photos is not None:
        shown.sprite.image_path = SPRITE
        shown.sprite.single_image_dim.extend([photos.shape[2], photos.shape[1]])
        write_sprite(folder / SPRITE, photos)
    (folder / CONFIG).write_text(text_format.MessageToString(config), encoding="utf-8")


def write_sprite(path: Path, photos: ByteArray) -> None:
    """Write photos uint8 (n, h, w, C) into one square image, row by row, as the projector cuts them out."""
    import numpy as np
    from PIL import Image

    number, height, width, channels = photos.shape
    side = math.ceil(math.sqrt(number))
    sprite = np.zeros((side * side, height, width, channels), np.uint8)
    sprite[:number] = photos
    sprite = sprite.reshape(side, side, height, width, channels).swapaxes(1, 2)
    whole = sprite.reshape(side * height, side * width, channels)
    Image.fromarray(whole[..., 0] if channels == 1 else whole).save(path)


def scalar(name: str, value: float) -> Summary:
    """Return a number under a name."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def text(name: str, words: str) -> Summary:
    """Return a text under a name."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = create_summary_metadata(display_name=name, description="")
    return Summary(value=[Summary.Value(tag=name, metadata=metadata, tensor=make_tensor_proto(words.encode()))])


def _session_end(*, is_well: bool) -> Summary:
    """Return what tells HPARAMS how a trial has ended."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if is_well else api_pb2.STATUS_FAILURE
    ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    told = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ended))
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=told, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
