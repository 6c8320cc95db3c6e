"""InsightFace's record files, written here byte for byte as the format says: how they are read, and what is refused."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from faceexp_dataset_insightface_rec import InsightfaceRec
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceexp.data import images, pairs_file
from faceexp.data.face_data import mistakes_of
from faceexp.errors import InputError
from faceexp.files import UnfitFileError
from faceexp.planning.listed_pairs import listed_images
from faceexp.testing import DatasetContract

MAGIC = struct.pack("<I", 0xCED7230A)
RANDOM = np.random.default_rng(0)


def record(payload):
    """Return a record as dmlc-core writes it: where the payload holds the magic number, another part begins."""
    parts, begin = [], 0
    for place in range(0, len(payload) - 3, 4):
        if payload[place : place + 4] == MAGIC:
            parts.append(payload[begin:place])
            begin = place + 4
    parts.append(payload[begin:])
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )


def payload(labels, content=b"", key=0):
    """Return header, labels and content, as MXNet packs them: one number lies in the header, several behind it."""
    if isinstance(labels, int | float):
        return struct.pack("<IfQQ", 0, labels, key, 0) + content
    return struct.pack("<IfQQ", len(labels), 0, key, 0) + struct.pack(f"<{len(labels)}f", *labels) + content


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@functools.cache
def picture(seed=0, side=6, kind="PNG"):
    return encoded(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8), kind)


def write(folder, payloads, **others):
    """Write payloads by their keys, and other files by the ends of their names; return the record file."""
    folder.mkdir(exist_ok=True)
    place, lines = 0, []
    with (folder / "train.rec").open("wb") as file:
        for key, content in payloads.items():
            lines.append(f"{key}\t{place}\n")
            place += file.write(record(content))
    (folder / "train.idx").write_text("".join(lines))
    for name, text in others.items():
        (folder / name.replace("lst", "train.lst")).write_text(text)
    return folder / "train.rec"


def with_identities(counts):
    """Return what face2rec writes: record 0, the images of each identity from 1 on, and the records of identities."""
    first = 1 + sum(counts)
    ends = np.cumsum(counts) + 1
    payloads = {0: payload((first, first + len(counts)))}
    for identity, (end, count) in enumerate(zip(ends, counts, strict=True)):
        for key in range(end - count, end):
            # InsightFace writes whether an image is aligned beside its label.
            payloads[int(key)] = payload((identity, 1.0), picture(int(key) % 100), int(key))
    for identity, (end, count) in enumerate(zip(ends, counts, strict=True)):
        payloads[first + identity] = payload((end - count, end))
    return payloads


def plain(labels):
    """Return what MXNet's im2rec writes: a record for each image, from 0 on, with its label in the header."""
    return {key: payload(label, picture(key), key) for key, label in enumerate(labels)}


def build(path, **options):
    return InsightfaceRec(path=str(path), **options).build(seed=0)


def problem(path, **options):
    """Return the one line that building says of files that are refused, without their folder."""
    with pytest.raises(InputError) as caught:
        build(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{path if path.is_dir() else path.parent}/", "")


def names(faces):
    return [image.name for image in faces.images]


class TestInsightfaceRecContract(DatasetContract):
    @pytest.fixture(params=["identities", "plain"])
    def plugin(self, tmp_path, request):
        write(tmp_path / "faces", with_identities([2, 3, 1]) if request.param == "identities" else plain([4, 7, 4]))
        return InsightfaceRec(path=str(tmp_path / "faces"))


# --- Whom the images show ---


def test_records_of_identities_say_whom_the_images_show(tmp_path):
    faces = build(write(tmp_path, with_identities([2, 3, 1]), property="3,112,112\n"))
    assert faces.identities == ("0", "1", "2")
    assert faces.labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert names(faces) == [f"train.rec/{name}" for name in ("0/1", "0/2", "1/3", "1/4", "1/5", "2/6")]


def test_no_image_is_read_to_list_them(tmp_path):
    """The headers of images are damaged; the last record, by which a cut file is noticed, is that of an identity."""
    path = write(tmp_path, with_identities([2, 3]))
    content = bytearray(path.read_bytes())
    for line in (tmp_path / "train.idx").read_text().splitlines()[1:6]:
        place = int(line.split("\t")[1])
        content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    assert build(path).labels.tolist() == [0, 0, 1, 1, 1]


def test_labels_in_the_headers_of_images(tmp_path):
    faces = build(write(tmp_path, plain([7, 2, 7, 100])))
    assert faces.identities == ("2", "7", "100")
    assert faces.labels.tolist() == [1, 0, 1, 2]
    assert names(faces) == ["train.rec/7/0", "train.rec/2/1", "train.rec/7/2", "train.rec/100/3"]


@pytest.mark.parametrize(
    "header", [payload((5, 2)), payload((5, 9)), payload((2.0**25, 2.0**25 + 2)), payload((5, 5), b"", 3)]
)
def test_record_0_without_records_of_identities(tmp_path, header):
    """Programs write the number of people into record 0, or promise records that they leave out; some write it last."""
    images = {key: payload(label, picture(key)) for key, label in ((1, 3), (2, 3), (3, 0), (4, 8))}
    for payloads in ({0: header} | images, images | {0: header}):
        faces = build(write(tmp_path, payloads))
        assert (faces.identities, faces.labels.tolist()) == (("0", "3", "8"), [1, 1, 0, 2])


def test_bounds_that_32_bits_round_are_not_believed(tmp_path):
    """A set of more than 16,777,216 images has records of identities, but record 0 cannot say exactly where."""
    payloads = with_identities([1, 2])
    payloads[0] = payload((2.0**24 + 2, 2.0**24 + 4))
    faces = build(write(tmp_path, payloads))
    assert (faces.identities, faces.labels.tolist()) == (("0", "1"), [0, 1, 1])


@pytest.mark.parametrize(
    ("lst", "keys"),
    [
        ("2\t5.000000\tb/1.jpg\n0\t9.0\ta.jpg\n1\t5\tb/2.jpg\n", [0, 1, 2]),
        ("2\t5\t0.25\tb/1.jpg\n0\t9\t0.5\ta.jpg\n1\t5\t1\tb/2.jpg\n", [0, 1, 2]),
        ("1\t/faces/a.jpg\t9\n1\t/faces/b.jpg\t5\t1\t2\n1\t/faces/b.jpg\t5\n", [0, 1, 2]),
    ],
    ids=["MXNet", "MXNet with several labels", "InsightFace"],
)
def test_labels_of_the_list_beside_the_records(tmp_path, lst, keys):
    faces = build(write(tmp_path, plain([0, 0, 0]), lst=lst))
    assert faces.identities == ("5", "9")
    assert faces.labels.tolist() == [1, 0, 0]
    assert names(faces) == [f"train.rec/{label}/{key}" for label, key in zip([9, 5, 5], keys, strict=True)]
    assert faces.notes == ("the data set takes the identities from train.lst",)


def test_identities_may_be_left_out(tmp_path):
    path = write(tmp_path, with_identities([1, 3, 2, 3]))
    faces = build(path, min_images=2, people=2)
    assert (faces.identities, faces.labels.tolist()) == (("1", "2"), [0, 0, 0, 1, 1])
    assert names(faces)[-1] == "train.rec/2/6"
    assert faces.notes == (
        "min_images = 2 of the data set leaves out 1 of 4 people",
        "people = 2 of the data set leaves out 1 more people",
    )


def test_lists_of_pairs_name_identity_and_key(tmp_path):
    faces = build(write(tmp_path / "faces", with_identities([2, 12, 2])))
    (tmp_path / "pairs.txt").write_text("2 1\n0\t1\t2\n1\t12\t2\t15\n1\t3\t11\n0\t1\t1\t14\n")
    folds = listed_images(faces, pairs_file.read(str(tmp_path / "pairs.txt")))
    assert [[faces.images[at].name for at in pair] for fold in folds for pair in fold] == [
        ["train.rec/0/1", "train.rec/0/2"],
        ["train.rec/1/12", "train.rec/2/15"],
        ["train.rec/1/3", "train.rec/1/11"],
        ["train.rec/0/1", "train.rec/1/14"],
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_any_numbers_of_images_in_any_order_of_records(tmp_path_factory, counts, random):
    payloads = list(with_identities(counts).items())
    random.shuffle(payloads)
    faces = build(write(tmp_path_factory.mktemp("rec"), dict(payloads)))
    assert faces.labels.tolist() == [identity for identity, count in enumerate(counts) for _ in range(count)]
    for key, image in enumerate(faces.images, 1):
        assert image.read() == picture(key)


# --- The images ---


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([MAGIC, b"\0\0\0\0", b"abcd", b"\x0a\x23", b"x"]), max_size=12).map(b"".join),
    st.sampled_from([0, 0xCED7230A, 0xCED7230A << 32]),
    st.sampled_from([3, (3,), (3, 1), (3, struct.unpack("<f", MAGIC)[0])]),
)
def test_what_a_record_holds_is_what_was_packed(tmp_path_factory, content, key, labels):
    """Records that hold the magic number, in header, labels or image, are written in several parts."""
    path = write(tmp_path_factory.mktemp("rec"), {1: payload(labels, b"." + content, key), 2: payload(4, picture())})
    faces = build(path)
    assert faces.identities == ("3", "4")
    assert faces.images[0].read() == b"." + content


def test_ten_thousand_images_with_every_kind_of_header(tmp_path):
    counts = [*RANDOM.integers(1, 8, 2400).tolist()]
    counts.append(10_000 - sum(counts))
    payloads = with_identities(counts)
    pixels = RANDOM.integers(0, 256, (10, 10, 3), np.uint8)
    # A picture without compression, in which the magic number stands as pixels do.
    bitmap = bytearray(encoded(pixels, "BMP"))
    header = payload((0.0,))
    place = (54 + len(header) + 3) // 4 * 4 - len(header)
    bitmap[place : place + 4] = MAGIC
    payloads[1] = payload((0.0,), bytes(bitmap))
    payloads[2] = payload(0.0, picture(2, kind="JPEG"))
    payloads[3] = payload((0.0, 1.0, 0.5), picture(3, kind="JPEG"))
    path = write(tmp_path, payloads)
    assert path.read_bytes()[8:].find(struct.pack("<I", 1 << 29 | len(header) + place)) > 0
    faces = build(path)
    assert len(faces.images) == 10_000
    assert faces.labels.tolist() == np.repeat(np.arange(2401), counts).tolist()

    def pixels_of(content):
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def decoded(at):
        return images.opened(faces.images[at], lambda image: np.asarray(image.convert("RGB")))

    written = {0: bytes(bitmap), 1: picture(2, kind="JPEG"), 2: picture(3, kind="JPEG")}
    with ThreadPoolExecutor(4) as pool:
        some = [*range(10), *range(10, 10_000, 7)]
        for at, seen in zip(some, pool.map(decoded, some), strict=True):
            np.testing.assert_array_equal(seen, pixels_of(written.get(at, picture((at + 1) % 100))))


def test_images_are_a_sequence(tmp_path):
    faces = build(write(tmp_path, with_identities([2, 3])))
    assert len(faces.images) == 5
    assert names(faces)[1:3] == [image.name for image in faces.images[1:3]]
    assert [image.name for image in iter(faces.images)] == [faces.images[at].name for at in range(5)]
    assert faces.images[-1].name == "train.rec/1/5"
    assert faces.images[np.int64(0)].name == "train.rec/0/1"
    with pytest.raises(IndexError):
        faces.images[5]


def test_fingerprint_is_that_of_the_content(tmp_path):
    payloads = with_identities([2, 3, 2])
    path = write(tmp_path / "a", payloads)
    before = build(path).fingerprint
    assert build(write(tmp_path / "copy", payloads)).fingerprint == before
    changed = payloads | {3: payload((1, 1.0), picture(3)[:-1] + b"!", 3)}
    assert len(picture(3)) == len(picture(3)[:-1] + b"!")
    assert build(write(tmp_path / "a", changed)).fingerprint != before
    assert build(write(tmp_path / "b", with_identities([3, 2, 2]))).fingerprint != before


def test_what_is_not_used_is_not_read_for_the_fingerprint(tmp_path, monkeypatch):
    payloads = with_identities([2, 3, 2])
    spans = []

    def digest(_, parts):
        spans.append(parts)
        return "0"

    monkeypatch.setattr("faceexp_dataset_insightface_rec.content_digest", digest)
    path = write(tmp_path, payloads)
    build(path)
    build(path, people=2)
    build(path, min_images=2, people=2)
    sizes = np.cumsum([len(record(content)) for content in payloads.values()]).tolist()
    assert spans == [[(sizes[0], sizes[7])], [(sizes[0], sizes[5])], [(sizes[0], sizes[5])]]


# --- What is refused, and in which words ---


def test_files_that_are_missing(tmp_path):
    path = write(tmp_path / "faces", with_identities([2, 3]))
    assert problem(tmp_path / "face") == "face: no such file or folder; did you mean 'faces'?"
    assert (
        problem(tmp_path)
        == f"{tmp_path}: has no .rec file; give the folder that holds train.rec and train.idx, or the .rec file"
    )
    assert problem(path.with_suffix(".idx")).startswith("train.idx: is no .rec file; give the folder")
    path.rename(path.with_name("other.rec"))
    assert problem(path.parent).startswith("other.rec: has no index beside it; put other.idx there")
    path.with_name("third.rec").touch()
    assert problem(path.parent) == f"{path.parent}: has 2 .rec files; name one of them in path"


def test_what_is_no_ordinary_file(tmp_path):
    path = write(tmp_path, with_identities([2, 3]))
    (tmp_path / "train.idx").unlink()
    (tmp_path / "train.idx").mkdir()
    assert problem(path) == "train.idx: is a folder, not an ordinary file"
    path.unlink()
    os.mkfifo(path)
    assert problem(path) == "train.rec: is a pipe, not an ordinary file"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "train.idx: is empty; it needs a line for each record, its key and its place"),
        ("0\t0\n1\tx\n", "train.idx:2: is not the key of a record and its place, two whole numbers; write the index anew"),
        ("0\t0\n1\n", "train.idx:2: is not the key of a record"),
        ("0\t0\t1\n", "train.idx:1: is not the key of a record"),
        ("0\t0\n1\t-40\n", "train.idx:2: is not the key of a record"),
        ("0\t0\n1\t99999999999999999999\n", "train.idx:2: is not the key of a record"),
        ("0\t0\n\xff\n", "train.idx:2: is not the key of a record"),
        ("0\t0\n7\t40\n7\t80\n", "train.idx: names record 7 twice; write the index anew"),
        ("0\t0\n1\t2000\n", "train.idx:2: record 1 begins at byte 2,000, but train.rec ends at byte "),
        ("0\t0\n1\t16\n", "train.idx:1: record 0 at byte 0 lies inside another one; write the index anew"),
        ("0\t0\n1\t44\n", "train.rec: record 1 at byte 44 does not begin as a record does; the file or its index is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_index(tmp_path, index, message):
    path = write(tmp_path, with_identities([2, 3]))
    (tmp_path / "train.idx").write_text(index, encoding="latin-1")
    assert problem(path).startswith(message)


@pytest.mark.parametrize("lost", [1, 8, 39])
def test_a_file_that_is_cut_off(tmp_path, lost):
    path = write(tmp_path, with_identities([2, 3]))
    os.truncate(path, path.stat().st_size - lost)
    said = problem(path)
    assert ("is cut off: it should have 32 bytes more" if lost < 9 else "begins at byte") in said
    path.write_bytes(b"")
    assert "begins at byte 0, but train.rec ends at byte 0" in problem(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: payload((6, 9))}, "train.rec: record 0 promises identities in records 6 to 8, but record 8 is not in the index"),
        ({7: payload((3, 3))}, "train.rec: identity 1 (record 7) has no image"),
        ({7: payload((3, 7))}, "train.rec: record 7 should say which images an identity has, and does not"),
        ({7: payload(3.0, b"image")}, "train.rec: record 7 should say which images an identity has, and does not"),
        ({7: payload((2, 6))}, "train.rec: identities 0 and 1 share record 2"),
        ({7: payload((3, 5))}, "train.rec: 1 images belong to no identity, the first is record 5"),
        ({4: None}, "train.rec: identity 1 (record 7) should have record 4, which is not in the index"),
        ({0: payload((1, 2)), 1: payload((2, 3))}, "train.rec: record 1 should say which images"),
        ({0: payload((1, 1))}, "train.rec: holds no images, only a header"),
    ],
)  # fmt: skip
def test_records_of_identities_that_do_not_fit(tmp_path, change, message):
    payloads = {key: content for key, content in (with_identities([2, 3]) | change).items() if content is not None}
    assert problem(write(tmp_path, payloads)).startswith(message)


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf")])
def test_labels_that_are_none(tmp_path, label):
    said = problem(write(tmp_path, plain([0, 1]) | {2: payload(label, picture())}))
    assert said.startswith(f"train.rec: record 2 has the label {label:g}; labels are whole numbers from 0")


def test_a_record_that_says_it_has_more_labels_than_bytes(tmp_path):
    wrong = struct.pack("<IfQQ", 10**9, 0, 0, 0) + b"image"
    said = problem(write(tmp_path, {0: payload(0, picture()), 1: wrong, 2: payload(1, picture())}))
    assert "record 1 at byte" in said
    assert "is said to hold 1,000,000,000 labels, more than its 29 bytes; the file or its index is damaged" in said


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"property": "3,112,112"}, "property: counts 3 identities, but the headers of the records have images of 2; correct or remove it"),
        ({"property": "many"}, "property: is not the number of identities, height and width"),
        ({"lst": "0\t0\ta\n1\t1\tb\n"}, "train.lst: has 2 lines for 3 images; record 2 is not among them; remove train.lst"),
        ({"lst": "0\t0\ta\n1\t1\tb\n2\t1\tc\n3\t0\td\n"}, "train.lst: has 4 lines for 3 images; remove train.lst"),
        ({"lst": "0\t0\ta\n\n1\tb\n2\t1\tc\n"}, "train.lst:3: is not the key of a record, a label that is a whole number"),
        ({"lst": "0\t0\ta\n1\t1.5\tb\n2\t1\tc\n"}, "train.lst:2: is not the key of a record"),
        ({"lst": "0\t0\ta\n1\t0\tb\n2\t0\tc\n"}, "train.rec: 1 identity, but a comparison of faces needs two or more"),
    ],
)  # fmt: skip
def test_other_files_that_do_not_fit(tmp_path, others, message):
    assert problem(write(tmp_path, plain([0, 0, 1]), **others)).startswith(message)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["train.rec", "train.idx", "train.lst"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=5)), min_size=1, max_size=3),
    st.booleans(),
)
def test_whatever_is_changed_is_refused_in_a_line_or_read(tmp_path_factory, name, changes, lists_identities):
    folder = tmp_path_factory.mktemp("rec")
    payloads = with_identities([2, 3]) if lists_identities else plain([0, 1, 0, 1])
    write(folder, payloads, lst="0\t1\ta\n1\t2\tb\n2\t2\tc\n3\t1\td\n")
    if not lists_identities and name == "train.rec":
        (folder / "train.lst").unlink()
    content = bytearray((folder / name).read_bytes())
    for place, new in changes:
        place %= len(content)
        content[place : place + max(len(new), 1)] = new
    (folder / name).write_bytes(content)
    try:
        faces = build(folder)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert mistakes_of(faces) == []
    for image in faces.images:
        with contextlib.suppress(UnfitFileError):
            image.read()


def test_too_few_people(tmp_path):
    path = write(tmp_path, with_identities([2, 3]))
    assert problem(path, min_images=3) == (
        "train.rec: 1 identity with at least 3 images, but a comparison of faces needs two or more; lower min_images"
    )
