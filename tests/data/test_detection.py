"""A face is chosen among those that a detector gives, and laid on a template in one step."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import Field, ValidationError
from scipy.optimize import least_squares

from faceexp.contract import DetectorPlugin, Face, Hint, Points
from faceexp.data import detection, images
from faceexp.data.detection import TEMPLATE, NoFaceError, similarity, template
from faceexp.errors import InputError, Problem
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess

ARCFACE = np.array(TEMPLATE)


class Given(DetectorPlugin):
    """Gives what it was told to give."""

    reference: ClassVar[str] = "this test"
    points: ClassVar[Points] = "five"

    faces: list[Face] = Field(default_factory=list, description="What it gives.")

    def detect(self, photo, hint):
        return self.faces


def face_at(x, y, side, landmarks=None):
    return Face(x - side / 2, y - side / 2, side, side, landmarks=landmarks)


def points_of(angle=0.3, scale=2.0, shift=(150.0, 90.0)):
    """The template, turned by an angle, enlarged and moved."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ARCFACE @ turn.T + shift


# The transformation ----------------------------------------------------------------------------------------------------

near = st.floats(-40, 40)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(near, near), min_size=5, max_size=5), st.floats(-3, 3), st.floats(0.2, 5))
def test_no_other_turn_scale_and_shift_brings_five_points_nearer(noise, angle, scale):
    target = points_of(angle, scale) + np.array(noise)
    turn, shift = similarity(ARCFACE, target)

    def residuals(parameters):
        a, b, x, y = parameters
        return (ARCFACE @ np.array([[a, -b], [b, a]]).T + [x, y] - target).ravel()

    solved = least_squares(residuals, [1.0, 0.0, 0.0, 0.0], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    a, b, x, y = solved.x
    if np.hypot(a, b) < 1e-3:  # the noise has undone the face
        return
    np.testing.assert_allclose(turn, [[a, -b], [b, a]], atol=1e-5)
    np.testing.assert_allclose(shift, [x, y], atol=1e-3)


def test_points_that_were_moved_are_brought_back_exactly():
    turn, shift = similarity(points_of(), ARCFACE)
    np.testing.assert_allclose(points_of() @ turn.T + shift, ARCFACE, atol=1e-9)


def test_a_face_is_never_mirrored_to_fit_better():
    turn, _ = similarity(ARCFACE, ARCFACE * [-1, 1])
    assert np.linalg.det(turn) > 0


def test_points_in_one_place_are_no_face():
    with pytest.raises(NoFaceError, match="five points lie in one place"):
        similarity(ARCFACE, np.full((5, 2), 30.0))


# The template ----------------------------------------------------------------------------------------------------------


def placed(size, **options):
    detect = Detect(align="five_points", **options)
    return template(Preprocess(size=size, detect=detect), detect)


def test_the_template_grows_with_the_image():
    np.testing.assert_array_equal(placed((112, 112)), ARCFACE)
    np.testing.assert_allclose(placed((224, 224)), 2 * ARCFACE)
    np.testing.assert_allclose(placed((56, 56)), ARCFACE / 2)


def test_a_narrower_image_keeps_the_middle_of_the_template():
    # The template of 112 x 96 pixels of SphereFace and CosFace, published before that of 112 x 112.
    narrow = [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
    np.testing.assert_allclose(placed((112, 96)), narrow)


def test_a_margin_makes_the_template_smaller_around_the_same_middle():
    np.testing.assert_allclose(placed((112, 112), margin=0.5) - 56, (ARCFACE - 56) / 2)


def test_a_template_of_the_file_is_used_for_the_size_that_it_is_for():
    points = [[10.0, 12.0], [30.0, 12.0], [20.0, 22.0], [12.0, 30.0], [28.0, 30.0]]
    np.testing.assert_allclose(placed((80, 80), template=points, template_size=(40, 40)), 2 * np.array(points))
    np.testing.assert_allclose(placed((112, 112), template=points), points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": [[1.0, 2.0]] * 5}, "template belongs to align = \"five_points\", not to 'eyes'"),
        ({"align": "five_points", "template": [[1.0, 2.0]] * 4}, "at least 5"),
        ({"align": "five_points", "template_size": (64, 64)}, "template_size belongs to template"),
        ({"align": "nose"}, "'five_points', 'eyes' or 'none'"),
    ],
)
def test_what_is_no_template_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Detect(**options)


def test_files_of_before_mean_the_same():
    assert (Detect(align=True).align, Detect(align=False).align) == ("eyes", "none")
    assert Detect(align=True) == Detect() == Detect(align="eyes", plugin="haar")
    # The folder of a run is named after this.
    assert Detect().model_dump(mode="json") == {"align": True, "margin": 0.0, "smallest": 0.1, "several": "largest"}
    assert Detect(align="none").model_dump(mode="json")["align"] is False
    five = Detect(plugin="other", align="five_points", options={"path": "a"})
    assert Detect.model_validate(five.model_dump(mode="json"), strict=False) == five


# One step from the photo to the network's image ------------------------------------------------------------------------


def bilinear(pixels, x, y):
    """Return the value of a grey picture between its pixels, whose middles are whole numbers."""
    column, row = int(np.floor(x)), int(np.floor(y))
    across, down = x - column, y - row
    four = pixels[row : row + 2, column : column + 2].astype(float)
    return np.array([1 - down, down]) @ four @ np.array([1 - across, across])


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_each_pixel_is_the_photo_at_the_place_that_the_template_says(angle):
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (400, 500), dtype=np.uint8)
    landmarks = points_of(angle, 1.7, (200.0, 130.0))
    detect = Detect(align="five_points")
    preprocess = Preprocess(size=(48, 48), detect=detect)
    detector = Given(faces=[face_at(250, 200, 150, landmarks)])
    pixels = images.prepare(Image.fromarray(photo), preprocess, detector).pixels[..., 0]
    turn, shift = similarity(ARCFACE * 48 / 112, landmarks)
    for row, column in [(0, 0), (5, 40), (24, 24), (47, 3), (30, 17)]:
        x, y = turn @ [column, row] + shift
        if 0 <= x < 499 and 0 <= y < 399:
            assert pixels[row, column] == pytest.approx(bilinear(photo, x, y), abs=1.01)


def test_the_five_points_come_to_lie_on_the_template():
    landmarks = points_of(0.5, 2.0, (150.0, 90.0))
    photo = np.zeros((400, 500), np.uint8)
    for x, y in landmarks.round().astype(int):
        photo[y - 2 : y + 3, x - 2 : x + 3] = 255
    detect = Detect(align="five_points")
    detector = Given(faces=[face_at(250, 200, 150, landmarks)])
    pixels = images.prepare(Image.fromarray(photo), Preprocess(size=(112, 112), detect=detect), detector).pixels[..., 0]
    bright = np.argwhere(pixels > 128)[:, ::-1]
    for point in ARCFACE:
        near_it = bright[np.linalg.norm(bright - point, axis=1) < 4]
        np.testing.assert_allclose(near_it.mean(axis=0), point, atol=0.6)


def test_a_photo_with_a_palette_is_cut_from_its_colours():
    colours = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    photo = Image.fromarray(colours).quantize(200)
    detect = Detect(align="five_points")
    preprocess = Preprocess(size=(64, 64), color="rgb", detect=detect)
    detector = Given(faces=[face_at(150, 150, 150, points_of(0.2, 1.5, (60.0, 40.0)))])
    np.testing.assert_array_equal(
        images.prepare(photo, preprocess, detector).pixels,
        images.prepare(photo.convert("RGB"), preprocess, detector).pixels,
    )


# Which face ------------------------------------------------------------------------------------------------------------

LARGE, MIDDLE, SMALL = face_at(100, 200, 120), face_at(330, 250, 80), face_at(560, 90, 50)


@pytest.mark.parametrize(("several", "first"), [("largest", LARGE), ("central", MIDDLE), ("error", LARGE)])
def test_one_of_several_faces_comes_first(several, first):
    photo = Image.new("L", (640, 480))
    for faces in ([LARGE, MIDDLE, SMALL], [SMALL, MIDDLE, LARGE]):
        searched = detection.search(photo, Detect(several=several), Given(faces=faces))
        assert searched.faces[0] == first
        assert len(searched.faces) == 3


def test_several_faces_may_be_an_error():
    detect = Detect(several="error")
    photo, detector = Image.new("L", (640, 480)), Given(faces=[LARGE, SMALL])
    with pytest.raises(images.UnreadableImageError, match="shows 2 faces, and one is wanted"):
        images.prepare(photo, Preprocess(detect=detect), detector)


def test_a_face_without_its_points_cannot_be_laid_on_a_template():
    preprocess = Preprocess(detect=Detect(align="five_points"))
    with pytest.raises(images.UnreadableImageError, match="whose five points the detector does not find"):
        images.prepare(Image.new("L", (640, 480)), preprocess, Given(faces=[LARGE]))


def test_by_the_eyes_a_landmark_detector_turns_a_face_too():
    landmarks = points_of(0.3, 1.0, (100.0, 100.0))
    detect = Detect(align="eyes")
    detector = Given(faces=[face_at(150, 150, 110, landmarks)])
    searched = detection.search(Image.new("L", (640, 480)), detect, detector)
    cut = detection.cut(searched, Preprocess(detect=detect), detect, detector)
    np.testing.assert_allclose(cut.points, landmarks[:2])
    across, down = np.subtract(cut.corners[1], cut.corners[0])
    eyes = landmarks[1] - landmarks[0]
    assert np.arctan2(down, across) == pytest.approx(np.arctan2(eyes[1], eyes[0]))


# What a detector does wrong --------------------------------------------------------------------------------------------


BOXES: list[Any] = [(1, 2, 3, 4)]


class Failing(Given):
    """Raises something."""

    def detect(self, photo, hint: Hint):
        raise ZeroDivisionError("by zero")


class Refusing(Given):
    """Refuses the photo in words."""

    def detect(self, photo, hint: Hint):
        raise InputError(Problem("is too dark"))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (Failing(), "the detector Failing failed: ZeroDivisionError: by zero"),
        (Given.model_construct(faces=BOXES), "the detector Given gives a tuple, not Face"),
        (Given(faces=[Face(0, 0, np.nan, 5)]), "gives a face that is nowhere"),
        (
            Given(faces=[Face(0, 0, 5, 5, landmarks=np.zeros((2, 2)))]),
            r"gives landmarks of shape \(2, 2\), not \(5, 2\)",
        ),
    ],
)
def test_a_detector_at_fault_ends_the_run_and_is_named(detector, message, tmp_path):
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=message):
        images.decode(tmp_path / "a.png", Preprocess(detect=Detect()), detector)


def test_a_photo_that_a_detector_refuses_is_of_no_use(tmp_path):
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(images.UnreadableImageError, match="^is too dark$"):
        images.decode(tmp_path / "a.png", Preprocess(detect=Detect()), Refusing())


def test_the_detector_is_told_what_is_known(tmp_path):
    told = []

    class Listening(Given):
        """Remembers what it is told."""

        def detect(self, photo, hint):
            told.append((photo.shape, photo.dtype, hint.smallest, hint.landmarks))
            return [face_at(30, 30, 20)]

    Image.new("L", (64, 48)).save(tmp_path / "a.png")
    images.decode(tmp_path / "a.png", Preprocess(detect=Detect(smallest=0.3)), Listening(), ARCFACE)
    assert told == [((48, 64, 3), np.uint8, 0.3, ARCFACE)]
