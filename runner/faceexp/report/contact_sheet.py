"""The contact sheet of ``faceexp crops``: each photo with its faces and eyes beside what the network gets of it."""

from __future__ import annotations

import base64
import html
import io
import math

from PIL import Image, ImageDraw, ImageFont

from faceexp.data.crops import SHOWN_SIDE, Crops, Drawing, Kind, Looked
from faceexp.errors import MAX_LISTED, printable

GAP = 8
COLUMNS = 5
CELL = (2 * SHOWN_SIDE + 3 * GAP, SHOWN_SIDE + 4 * GAP)
HEADING = 40
LINE = 16
PAPER, INK, PALE = (255, 255, 255), (25, 25, 25), (225, 225, 225)
CROPPED, OTHER, POINTS = (0, 170, 80), (230, 120, 0), (230, 0, 90)
# Letters of a name below a photo, which is as wide as a photo and its crop.
MOST_LETTERS = 42

TITLES: dict[Kind, str] = {
    "unreadable": "Cannot be used",
    "none": "No face found",
    "several": "Several faces",
    "one": "One face",
    "whole": "Photos, taken whole",
}
LEGEND = (
    "Photo | what the network gets. Green: the face and its crop; orange: other faces; pink: points it is placed by."
)


def heading(crops: Crops, kind: Kind) -> str:
    """Return the heading above the photos of one kind: how many there are, and how many of them are shown."""
    photos = crops.of(kind)
    drawn = sum(photo.drawing is not None for photo in photos)
    some = f", {drawn} of them shown" if 0 < drawn < len(photos) else ""
    return f"{TITLES[kind]}: {len(photos):,} of {len(crops.photos):,} photos{some}"


def sheet(crops: Crops) -> bytes:
    """Return the contact sheet as the content of a PNG file."""
    sections = [(kind, _drawn(crops, kind)) for kind in crops.counts]
    rows = sum(math.ceil(len(drawn) / COLUMNS) for _, drawn in sections)
    unusable = _unusable(crops)
    height = HEADING * (len(sections) + 1) + rows * CELL[1] + len(unusable) * LINE + GAP
    size = (COLUMNS * CELL[0] + GAP, height)
    picture = Image.new("RGB", size, PAPER)
    pen, large, small = ImageDraw.Draw(picture), ImageFont.load_default(17), ImageFont.load_default(11)
    pen.text((GAP, GAP), LEGEND, INK, small)
    y = HEADING
    for kind, drawn in sections:
        pen.text((GAP, y + GAP), heading(crops, kind), INK, large)
        y += HEADING
        for line in unusable if kind == "unreadable" else ():
            pen.text((GAP, y), line, INK, small)
            y += LINE
        for place, (name, drawing) in enumerate(drawn):
            row, column = divmod(place, COLUMNS)
            corner = (GAP + column * CELL[0], y + row * CELL[1])
            picture.paste(_cell(drawing), corner)
            pen.text((corner[0], corner[1] + SHOWN_SIDE + 4), _short(name), INK, small)
        y += math.ceil(len(drawn) / COLUMNS) * CELL[1]
    return _png(picture)


def _unusable(crops: Crops) -> list[str]:
    """Return the lines that stand for the photos of which there is no picture."""
    photos = crops.of("unreadable")
    lines = [_short(_with_reason(photo), MOST_LETTERS * COLUMNS) for photo in photos[:MAX_LISTED]]
    return lines + ([f"and {len(photos) - MAX_LISTED:,} more"] if len(photos) > MAX_LISTED else [])


def page(crops: Crops, title: str) -> str:
    """Return the contact sheet as a page that loads nothing from elsewhere; it names those that are not shown, too."""
    sections = []
    for kind in crops.counts:
        figures = "".join(
            f'<figure><img alt="" src="data:image/png;base64,{base64.b64encode(_png(_cell(drawing))).decode()}">'
            f"<figcaption>{html.escape(printable(name))}</figcaption></figure>"
            for name, drawing in _drawn(crops, kind)
        )
        rest = [photo for photo in crops.of(kind) if photo.drawing is None]
        names = "".join(f"<li>{html.escape(printable(_with_reason(photo)))}</li>" for photo in rest)
        opened = "" if figures else " open"
        names = f"<details{opened}><summary>{len(rest):,} by name</summary><ul>{names}</ul></details>" if rest else ""
        sections.append(f"<h2>{html.escape(heading(crops, kind))}</h2><div>{figures}</div>{names}")
    style = (
        "body{font:15px/1.4 system-ui,sans-serif;margin:24px;color:#191919;background:#fff}"
        f"div{{display:flex;flex-wrap:wrap;gap:{GAP}px}}figure{{margin:0;width:{CELL[0]}px}}"
        "figcaption{font-size:12px;overflow-wrap:anywhere}"
    )
    name = html.escape(printable(title))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}: crops</title><style>{style}</style>'
        f"<h1>{name}</h1><p>{html.escape(LEGEND)}</p>{''.join(sections)}</html>\n"
    )


def _with_reason(photo: Looked) -> str:
    return f"{photo.name} {photo.reason}".strip()


def _drawn(crops: Crops, kind: Kind) -> list[tuple[str, Drawing]]:
    return [(photo.name, photo.drawing) for photo in crops.of(kind) if photo.drawing is not None]


def _cell(drawing: Drawing) -> Image.Image:
    """Return a photo with what was found in it, beside its crop."""
    cell = Image.new("RGB", (2 * SHOWN_SIDE + GAP, SHOWN_SIDE), PAPER)
    photo = drawing.photo.copy()
    pen, scale = ImageDraw.Draw(photo), drawing.scale
    for number, face in enumerate(drawing.faces):
        left, top, right, bottom = (
            round(scale * edge) for edge in (face.left, face.top, face.left + face.width, face.top + face.height)
        )
        taken = number == 0 and drawing.crop is not None
        pen.rectangle((left, top, right, bottom), outline=CROPPED if taken else OTHER, width=1 if taken else 2)
    if drawing.corners:
        pen.polygon([(scale * x, scale * y) for x, y in drawing.corners], outline=CROPPED, width=2)
    for x, y in drawing.points:
        pen.ellipse((scale * x - 3, scale * y - 3, scale * x + 3, scale * y + 3), outline=POINTS, width=2)
    cell.paste(photo, (0, 0))
    corner = (SHOWN_SIDE + GAP, 0)
    if drawing.crop is not None:
        cell.paste(drawing.crop, corner)
    else:
        box = (*corner, corner[0] + SHOWN_SIDE - 1, SHOWN_SIDE - 1)
        pen = ImageDraw.Draw(cell)
        pen.rectangle(box, outline=PALE)
        pen.line(box, PALE)
    return cell


def _short(name: str, most: int = MOST_LETTERS) -> str:
    text = printable(name)
    return text if len(text) <= most else f"...{text[3 - most :]}"


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "png")
    return content.getvalue()
