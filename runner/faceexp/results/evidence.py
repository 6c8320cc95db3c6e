"""The records of what lies behind the metrics of a trial: curves, histograms, its hardest pairs, a map."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from faceexp.results.group_records import TallyRecord
from faceexp.results.record import CalibrationRecord, Count, Curve, Number, Record


class JudgedPairRecord(Record):
    """A pair of test images and how it was judged."""

    distance: float = Field(description="The distance of the two embeddings.")
    similar: bool = Field(description="Whether both images show the same person.")
    accepted: bool = Field(description="Whether the distance is at most the threshold.")
    images: tuple[int, int] = Field(
        description="The numbers of the two images; `pictures/<number>.png` shows them if it exists."
    )
    identities: tuple[str, str] = Field(description="The names of the people that the images show.")


class RatesRecord(Record):
    """The false and the true accept rate at one threshold."""

    far: Number = Field(description="The share of different pairs that are accepted, also called FMR.")
    tar: Number = Field(description="The share of similar pairs that are accepted, which is 1 - FNMR.")


class MapRecord(Record):
    """Embeddings of test images, drawn in the plane of their largest variance. Each list has one entry per image."""

    x: tuple[float, ...] = Field(description="The first principal component.")
    y: tuple[float, ...] = Field(description="The second principal component.")
    identity: tuple[str, ...] = Field(description="The name of the person that the image shows.")
    explained: float = Field(description="The share of the whole variance that lies in this plane.")


class DiagnosticsRecord(Record):
    """What lies behind the metrics of a trial: the ROC curve, the histograms of distances, and the hardest pairs."""

    far: Curve = Field(
        (), description="False accept rates at the corners of the ROC curve, ascending; empty without different pairs."
    )
    tar: Curve = Field((), description="True accept rates at the same corners; empty without similar pairs.")
    edges: tuple[float, ...] = Field((), description="The borders of the bins of both histograms, as distances.")
    similar: tuple[Count, ...] = Field((), description="The number of similar pairs in each bin.")
    different: tuple[Count, ...] = Field((), description="The number of different pairs in each bin.")
    hardest: tuple[JudgedPairRecord, ...] = Field(
        (), description="The hardest pairs of each kind: rightly and wrongly accepted, rightly and wrongly refused."
    )
    met: Mapping[str, RatesRecord] = Field(
        default_factory=dict,
        description="The rates on test pairs. Each name is the false accept rate that validation pairs aimed at.",
    )
    map: MapRecord | None = Field(
        None, description="The embeddings of at most 20 people, in trials of the first seed and fold only."
    )


class SetEvidenceRecord(Record):
    """What lies behind the metrics of a trial on a test set."""

    evidence: DiagnosticsRecord = Field(description="Curves, histograms and pairs of the set.")
    calibration: CalibrationRecord = Field(
        description="Thresholds and probability, and what became of them: `test` means the set here."
    )
    groups: tuple[TallyRecord, ...] = Field(
        (), description="What the thresholds do within the groups of the set that the experiment file names."
    )
