"""The images that should take part and of which no pixels could be made: unreadable ones, and those without a face.

They are removed before people are dealt to parts, so that only their person says which part they would have been in.
"""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.arrays import IntArray


@dataclass(frozen=True)
class LostOfList:
    """What was to be tested on by a list, and what of it is lost.

    Attributes:
        images: How many images the list names.
        lost_images: How many of them cannot be used.
        people: How many people these show; of a list of pairs of templates, how many templates there are.
        lost_people: Of how many of them none of these images can be used.
        similar: How many similar pairs are listed; 0 for a list of a part.
        lost_similar: How many of them cannot be judged.
        different: How many different pairs are listed.
        lost_different: How many of them cannot be judged.
    """

    images: int
    lost_images: int
    people: int
    lost_people: int
    similar: int = 0
    lost_similar: int = 0
    different: int = 0
    lost_different: int = 0


@dataclass(frozen=True, eq=False)
class Lost:
    """The images that cannot be used, of people who were to take part.

    Attributes:
        labels: int (L,), whom each of them shows; -1: somebody who does not take part, since too few images are left.
        people: How many people do not take part for that reason.
        tested: Where lists say what is tested: for each fold what was to be tested; else empty.
        of_templates: Whether these lists are of pairs of templates, so that templates take the place of people.
    """

    labels: IntArray
    people: int
    tested: tuple[LostOfList, ...] = ()
    of_templates: bool = False
