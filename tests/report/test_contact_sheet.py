"""The contact sheet: every kind has its heading, photos and crops lie side by side, and names do no harm."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from faceexp.contract import Face
from faceexp.data.crops import SHOWN_SIDE, Crops, Drawing, Looked
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.report.contact_sheet import COLUMNS, CROPPED, GAP, HEADING, LINE, OTHER, POINTS, heading, page, sheet
from faceexp.report.terminal.crops import crops_lines

RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawing(crop=True):
    return Drawing(
        Image.new("RGB", (SHOWN_SIDE, SHOWN_SIDE), RED),
        Image.new("RGB", (SHOWN_SIDE, SHOWN_SIDE), BLUE) if crop else None,
        0.5,
        (Face(40, 40, 100, 100), Face(180, 180, 40, 40)),
        ((80.0, 80.0),) if crop else (),
        ((30, 30), (150, 30), (150, 150), (30, 150)) if crop else (),
    )


MADE = Crops(
    2,
    (
        Looked("Ann/a.png", "several", drawing=drawing()),
        Looked("Bo/<b>\x1b[2J.png", "unreadable", "cannot be decoded"),
        Looked("Bo/c.png", "none", "shows no face that the detector finds", drawing(crop=False)),
        Looked("Bo/d.png", "one", drawing=drawing()),
        Looked("Bo/e.png", "one"),
    ),
    detects=True,
)


def test_photo_and_crop_lie_side_by_side_with_boxes_and_points():
    pixels = np.asarray(Image.open(io.BytesIO(sheet(MADE))))
    # Legend, then "Cannot be used" with one line, then "No face found".
    top = 3 * HEADING + LINE
    photo = pixels[top : top + SHOWN_SIDE, GAP : GAP + SHOWN_SIDE]
    assert tuple(photo[0, 0]) == RED
    assert (photo == OTHER).all(axis=-1).any()
    assert not (photo == CROPPED).all(axis=-1).any()
    several = pixels[top + 200 : top + 200 + SHOWN_SIDE, :]
    for colour in (CROPPED, OTHER, POINTS, BLUE):
        assert (several == colour).all(axis=-1).any(), colour


def test_a_sheet_of_many_is_no_wider(tmp_path):
    many = Crops(
        1, tuple(Looked(f"Ann/{n}.png", "one", drawing=drawing()) for n in range(7 * COLUMNS + 1)), detects=True
    )
    few = Image.open(io.BytesIO(sheet(MADE)))
    picture = Image.open(io.BytesIO(sheet(many)))
    assert picture.width == few.width
    assert picture.height > 8 * SHOWN_SIDE


def test_headings_say_how_many_are_shown():
    assert heading(MADE, "one") == "One face: 2 of 5 photos, 1 of them shown"
    assert heading(MADE, "unreadable") == "Cannot be used: 1 of 5 photos"


def test_the_page_loads_nothing_and_takes_no_name_for_markup():
    text = page(MADE, "<mine>")
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "&lt;b&gt;\\x1b[2J.png cannot be decoded" in text
    assert text.count('src="data:image/png;base64,') == text.count("src=") == 3
    assert text.index("Cannot be used") < text.index("No face found") < text.index("Several") < text.index("One face")


def test_the_screen_counts_and_names():
    lines = list(crops_lines(MADE, Preprocess(detect=Detect())))
    assert lines == [
        "5 photos of 2 people",
        "  one face               2",
        "  several faces          1",
        "  no face found          1",
        "  cannot be used         1",
        "  Bo/<b>\x1b[2J.png: cannot be decoded",
        "  Bo/c.png: shows no face that the detector finds",
        "  Ann/a.png: several faces, the largest is taken",
        "2 are of no use: a run stops there; remove or replace such photos, or set on_unreadable = "
        '"skip" in [preprocess].',
    ]
    assert list(crops_lines(MADE, Preprocess(on_unreadable="skip")))[-1] == "2 are of no use: a run leaves them out."


def test_photos_that_are_taken_whole_are_told():
    whole = Crops(1, (Looked("Ann/a.png", "whole", drawing=drawing()),), detects=False)
    assert list(crops_lines(whole, Preprocess()))[-1] == (
        "No face is looked for, since the experiment has no [preprocess.detect]: photos are taken whole."
    )
