"""The record of searches for photos in galleries."""

from __future__ import annotations

from pydantic import Field

from faceexp.results.record import Count, Curve, Record


class IdentificationRecord(Record):
    """Searches for photos in galleries that hold half of the test people; see the metrics TPIR and CMC."""

    gallery: Count = Field(description="The number of people in a gallery, one photo each.")
    strangers: Count = Field(description="The number of test people who are not in it.")
    draws: Count = Field(description="So often it was drawn who is in the gallery; values are means over draws.")
    cmc: Curve = Field(
        description="For the ranks 1, 2, ...: how often the right person is among so many nearest of the gallery."
    )
