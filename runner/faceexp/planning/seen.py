"""What photos are like, in words; and how they become images, with a reason for each choice."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.data.face_data import image_name, some
from faceexp.planning.annotated import Entry, capital, section
from faceexp.planning.photos import Faces, Photos

# Side of the networks' images in pixels: as in the default experiment, or less where photos are smaller.
SIDES = (48, 32)
# A face that fills less than this of a photo's shorter side has to be found first.
FILLS = 0.6
# Of so many photos that were searched, nobody doubts what nearly all of them agree in.
SURE = 0.9


@dataclass(frozen=True)
class Finding:
    """Whether faces have to be found before they are compared.

    Attributes:
        detects: Whether they have to.
        is_sure: Whether nearly all photos that were searched agree in that.
        reason: Why, in a sentence without its end.
    """

    detects: bool
    is_sure: bool
    reason: str


def finding(faces: Faces | None) -> Finding:
    """Return whether faces have to be found, by what the detector made of some photos."""
    if faces is None:
        reason = (
            "nobody looked for faces, since OpenCV is not installed (pip install 'faceexp[detect]'): photos are taken "
            "whole, which is right only if a face fills each of them"
        )
        return Finding(False, False, reason)
    seen = f"a face was found in {faces.found} of {faces.searched} photos that were searched"
    if faces.found < faces.searched / 2:
        reason = f"{seen}, too few to say whether photos must be cropped: they are taken whole; look at some of them"
        return Finding(False, False, reason)
    detects = faces.share < FILLS
    agreeing = sum((share < FILLS) == detects for share in faces.shares) / faces.searched
    is_sure = agreeing >= SURE
    sure = "this is sure" if is_sure else f"{agreeing:.0%} of these photos agree, so look whether it is right"
    sure = sure.replace("%", " %")
    how = "it is found and cropped first" if detects else "photos are taken whole"
    several = f"; {faces.several} show several faces, of which the largest is taken" if faces.several else ""
    share = f"{100 * faces.share:.0f} %"
    return Finding(detects, is_sure, f"{seen}, and fills {share} of the shorter side: {how} ({sure}){several}")


def preprocess(photos: Photos, decided: Finding) -> list[str]:
    """Return the tables that say how photos become images."""
    side, what = photos.shorter_side, "shorter side of a photo"
    if decided.detects and photos.faces:
        side, what = round(side * photos.faces.share), "side of a face"
    size = next((size for size in SIDES if size <= side), SIDES[-1])
    reason = "" if decided.detects else f"{capital(decided.reason)}. "
    entries: list[Entry] = [
        (f"{reason}The {what} is {side} pixels (median); more take longer and seldom tell more.", {"size": [size] * 2}),
        (f"{capital(_colours(photos))}.", {"color": "rgb" if photos.coloured > photos.readable / 2 else "gray"}),
    ]
    if photos.unreadable:
        entries.append((f"Left out: {_unreadable(photos)}.", {"on_unreadable": "skip"}))
    elif decided.detects:
        entries.append(("A photo in which no face is found is left out.", {"on_unreadable": "skip"}))
    tables = [section("preprocess", entries)]
    if decided.detects:
        tables.append(section("preprocess.detect", [(f"{capital(decided.reason)}.", {"align": True})]))
    return tables


def facts(photos: Photos) -> list[str]:
    """Return what the photos are like, in sentences without their ends."""
    number, counts = len(photos.data.labels), photos.counts
    least, most = int(counts.min()), int(counts.max())
    each = f"{least}" if least == most else f"{least} to {most}"
    small, large = (f"{width} x {height}" for width, height in photos.sizes)
    pixels = small if small == large else f"{small} to {large}"
    sentences = [
        f"{len(counts)} people with {each} photos each, {number} in all; {pixels} pixels; {_colours(photos)}",
        *photos.data.notes,
    ]
    if len(photos.opened) < number:
        sentences.append(f"{len(photos.opened)} of the {number} photos were opened, evenly spread over the people")
    if photos.unreadable:
        sentences.append(f"{len(photos.unreadable)} of the photos cannot be used: {_unreadable(photos)}")
    if photos.alike:
        wrong = "the same picture lies in the folders of different people, so that one of them is wrong"
        sentences.append(f"{wrong}: {some(list(photos.alike))}")
    return sentences


def _colours(photos: Photos) -> str:
    if photos.coloured in (0, photos.readable):
        return "all photos have colours" if photos.coloured else "no photo has colours"
    return f"{photos.coloured} of {photos.readable} photos have colours"


def _unreadable(photos: Photos) -> str:
    return some([f"{image_name(photos.data, index)} {reason}" for index, reason in photos.unreadable.items()])
