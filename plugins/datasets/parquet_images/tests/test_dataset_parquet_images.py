"""Images inside Parquet files: how they are read, by how many at once, and that every mistake is a clear line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faceexp_dataset_parquet_images import ParquetImages, _Shard
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from faceexp.contract import StoredImage
from faceexp.data.face_data import mistakes_of, place_of
from faceexp.data.images import UnreadableImageError, opened
from faceexp.errors import InputError
from faceexp.registry.path_options import path_options
from faceexp.testing import DatasetContract

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (9, 6, 5), dtype=np.uint8)
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def coded(pixels, kind="PNG"):
    """Return the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


PNGS = [coded(pixels) for pixels in PIXELS]


def table(images, labels, names=None, **further):
    """Return a table as `datasets` of Hugging Face makes it: the names of labels are in its metadata."""
    image = images if isinstance(images, pa.Array) else pa.array(images, STRUCT)
    made = pa.table({"image": image, "label": labels, **further})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    return made.replace_schema_metadata(about) if names else made


def inside(numbers):
    """Return images as `datasets` holds them."""
    return [{"bytes": PNGS[number], "path": f"{number}.png"} for number in numbers]


@pytest.fixture
def three(tmp_path):
    """A folder with nine images of three people in three files, two rows in each row group."""
    for shard in range(3):
        numbers = range(3 * shard, 3 * shard + 3)
        made = table(inside(numbers), [number % 3 for number in numbers], ["clara", "anna", "berta"])
        parquet.write_table(made, tmp_path / f"train-{shard:05}-of-00003.parquet", row_group_size=2)
    return tmp_path


@pytest.fixture
def one(tmp_path):
    """Write one file, and return the plugin for it."""

    def one(made, name="faces.parquet", how=None, **options):
        parquet.write_table(made, tmp_path / name, **(how or {}))
        return ParquetImages(path=str(tmp_path / name), **options)

    return one


def pixels_of(faces):
    return [opened(image, np.asarray) for image in faces.images]


def problems(plugin, folder):
    """Return what building says about files that it refuses, with FOLDER for where they lie."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    lines = [str(problem) for problem in caught.value.problems]
    assert not any("\n" in line for line in lines)
    return [line.replace(str(folder), "FOLDER") for line in lines]


class TestParquetImagesContract(DatasetContract):
    @pytest.fixture(params=["three", "one"])
    def plugin(self, three, one, request):
        if request.param == "three":
            return ParquetImages(path=str(three))
        return one(table(pa.array(PNGS), ["anna", "berta", "clara"] * 3, age=[1] * 9))


def test_the_option_is_a_path_to_anything():
    assert path_options(ParquetImages) == {"path": "anything"}


# --- What is found ---


@pytest.mark.parametrize("pattern", ["", "train-*.parquet", "train-0000?-of-00003.parquet"])
def test_three_files_in_the_order_of_their_names(three, pattern):
    faces = ParquetImages(path=str(three / pattern)).build(seed=0)
    assert faces.identities == ("clara", "anna", "berta")
    assert faces.labels.dtype == np.int32
    assert faces.labels.tolist() == [0, 1, 2] * 3
    assert faces.source == "file train-00000-of-00003.parquet and 2 more"
    for found, written in zip(pixels_of(faces), PIXELS, strict=True):
        np.testing.assert_array_equal(found, written)


def test_decoded_pixels_are_those_of_pillow_in_every_format(one):
    written = [coded(pixels, kind) for pixels, kind in zip(PIXELS, ["PNG", "JPEG", "BMP"], strict=False)]
    faces = one(table(pa.array(written), ["anna", "berta", "anna"])).build(seed=0)
    for found, content in zip(pixels_of(faces), written, strict=True):
        np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(content))))


def test_an_image_is_called_after_file_row_and_path(one):
    images = [{"bytes": PNGS[0], "path": "faces/Ann_0004.jpg"}, {"bytes": PNGS[1], "path": None}]
    faces = one(table(images, ["Ann", "Bob"])).build(seed=0)
    assert [image.name for image in faces.images] == ["faces.parquet/1/Ann_0004.jpg", "faces.parquet/2"]
    assert [image.name for image in faces.images[1:]] == ["faces.parquet/2"]


@pytest.mark.parametrize(
    ("labels", "identities", "found"),
    [
        (["berta", "anna", "berta"], ("anna", "berta"), [1, 0, 1]),
        (pa.array(["berta", "anna", "berta"]).dictionary_encode(), ("anna", "berta"), [1, 0, 1]),
        (pa.array(["berta", "anna", "berta"], pa.large_string()), ("anna", "berta"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (pa.array([200, 0, 200], pa.uint8()), ("0", "200"), [1, 0, 1]),
    ],
)
def test_labels_are_texts_or_numbers(one, labels, identities, found):
    faces = one(table(inside(range(3)), labels)).build(seed=0)
    assert (faces.identities, faces.labels.tolist()) == (identities, found)


def test_names_without_an_image_are_left_out(one):
    faces = one(table(inside(range(3)), [3, 0, 3], ["clara", "nobody", "none", "anna"])).build(seed=0)
    assert (faces.identities, faces.labels.tolist(), faces.notes) == (("clara", "anna"), [1, 0, 1], ())


def test_columns_may_be_called_otherwise(one):
    made = table(inside(range(3)), ["a", "b", "a"]).rename_columns(["photo", "who"])
    faces = one(made, image_column="photo", identity_column="who").build(seed=0)
    assert faces.identities == ("a", "b")


def test_other_plain_columns_go_along(three):
    for number, file in enumerate(sorted(three.iterdir())):
        made = (
            parquet.read_table(file)
            .append_column("age", pa.array([30, None, 20 + number], pa.int64() if number else pa.float32()))
            .append_column("sex", pa.array(["f", None, "m"]) if number else pa.nulls(3))
            .append_column("glasses", pa.array([True, False, True]))
            .append_column("template", pa.array([number] * 3, pa.int16()))
            .append_column("box", pa.array([[1, 2], [3], []]))
        )
        parquet.write_table(made, file)
    faces = ParquetImages(path=str(three)).build(seed=0)
    nan = np.nan
    np.testing.assert_array_equal(faces.columns["age"], [30, nan, 20, 30, nan, 21, 30, nan, 22])
    assert faces.columns["sex"].tolist() == ["", "", "", "f", "", "m", "f", "", "m"]
    assert faces.columns["glasses"].tolist() == [True, False, True] * 3
    assert faces.columns["template"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    (note,) = faces.notes
    assert note.startswith("the data set leaves out columns: 'box' (list<")


def test_long_texts_are_left_out(one, monkeypatch):
    monkeypatch.setattr("faceexp_dataset_parquet_images.MAX_COLUMN_BYTES", 400)
    further = {"remark": ["x" * 200, "", ""], "sex": ["f", "m", "f"]}
    faces = one(table(inside(range(3)), [1, 2, 1], **further)).build(seed=0)
    assert set(faces.columns) == {"sex"}
    assert faces.notes == ("the data set leaves out columns: 'remark' (long texts)",)


def test_min_images_leaves_out_people_with_fewer(one):
    further = {"age": [1, 2, 3, 4, 5]}
    made = table(inside(range(5)), [2, 0, 1, 2, 1], ["clara", "anna", "berta"], **further)
    faces = one(made, min_images=2).build(seed=0)
    assert (faces.identities, faces.labels.tolist()) == (("anna", "berta"), [1, 0, 1, 0])
    assert faces.columns["age"].tolist() == [1, 3, 4, 5]
    assert faces.notes == ("min_images = 2 of the data set leaves out 1 of 3 people",)
    np.testing.assert_array_equal(pixels_of(faces)[1], PIXELS[2])


def test_images_beside_the_file(one, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1.png").write_bytes(PNGS[1])
    (tmp_path / "0.png").write_bytes(PNGS[0])
    images = [{"bytes": None, "path": "0.png"}, {"bytes": None, "path": "more/1.png"}, *inside([2])]
    faces = one(table(images, ["anna", "berta", "anna"])).build(seed=0)
    assert faces.images[:2][1] == tmp_path / "more" / "1.png"
    for found, written in zip(pixels_of(faces), PIXELS, strict=False):
        np.testing.assert_array_equal(found, written)


def test_all_images_beside_the_file(one, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(PNGS[number])
    paths = pa.array([{"path": f"{number}.png"} for number in range(3)])
    faces = one(table(paths, ["anna", "berta", "anna"])).build(seed=0)
    assert list(faces.images) == [tmp_path / f"{number}.png" for number in range(3)]


@settings(max_examples=30, deadline=None)
@given(
    shards=st.lists(st.lists(st.integers(0, 8), max_size=7), min_size=1, max_size=4),
    rows=st.integers(1, 4),
    min_images=st.integers(1, 2),
    is_struct=st.booleans(),
)
def test_images_and_labels_stay_together(tmp_path_factory, shards, rows, min_images, is_struct):
    """However rows are divided among files and row groups: each image is that of its label."""
    folder = tmp_path_factory.mktemp("faces")
    for place, numbers in enumerate(shards):
        images = inside(numbers) if is_struct else pa.array([PNGS[number] for number in numbers], pa.binary())
        labels = pa.array([number % 3 for number in numbers], pa.int64())
        parquet.write_table(table(images, labels, ["a", "b", "c"]), folder / f"{place}.parquet", row_group_size=rows)
    everything = [number for numbers in shards for number in numbers]
    counts = np.bincount([number % 3 for number in everything], minlength=3)
    people = [person for person in range(3) if counts[person] >= min_images]
    plugin = ParquetImages(path=str(folder), min_images=min_images)
    if len(people) < 2:
        with pytest.raises(InputError):
            plugin.build(seed=0)
        return
    faces = plugin.build(seed=0)
    assert mistakes_of(faces) == []
    used = [number for number in everything if number % 3 in people]
    assert [faces.identities[label] for label in faces.labels] == ["abc"[number % 3] for number in used]
    assert [image.read() for image in faces.images] == [PNGS[number] for number in used]


# --- How much is read ---


@pytest.fixture
def reads(monkeypatch):
    """What was read of the files: the column, and the row group or None for all."""
    reads = []
    read = _Shard.read

    def watched(shard, column, group=None):
        reads.append((shard.name, column, group))
        return read(shard, column, group)

    monkeypatch.setattr(_Shard, "read", watched)
    return reads


def test_building_reads_no_image(three, reads):
    ParquetImages(path=str(three)).build(seed=0)
    assert {column for _, column, _ in reads} == {"label", "image.path"}


@pytest.fixture
def twelve_groups(tmp_path, reads):
    """A data set of 1,200 images in three files of four row groups; what is read of them is watched."""
    for shard in range(3):
        made = table(inside(number % 9 for number in range(400)), [number % 9 for number in range(400)])
        parquet.write_table(made, tmp_path / f"{shard}.parquet", row_group_size=100)
    faces = ParquetImages(path=str(tmp_path)).build(seed=0)
    reads.clear()
    return faces


CONTENTS = [PNGS[number % 9] for number in range(400)] * 3


def test_each_row_group_is_read_once(twelve_groups, reads):
    assert [image.read() for image in twelve_groups.images] == CONTENTS
    assert reads == [(f"{shard}.parquet", "image.bytes", group) for shard in range(3) for group in range(4)]


def test_threads_share_what_was_read(twelve_groups, reads):
    """A thread that was held up may need a row group once more, but not for each image."""
    images, starts = twelve_groups.images, range(0, 1200, 64)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = pool.map(lambda start: [image.read() for image in images[start : start + 64]], starts)
        assert [content for block in blocks for content in block] == CONTENTS
    assert len(reads) <= 2 * len(starts)


def test_any_order_gives_the_same_and_little_stays_in_memory(twelve_groups, monkeypatch):
    monkeypatch.setattr("faceexp_dataset_parquet_images.MAX_HELD_BYTES", 0)
    for row in np.random.default_rng(0).permutation(1200)[:100]:
        assert twelve_groups.images[row].read() == CONTENTS[row]
    assert len(twelve_groups.images[0].read.func.__self__._held) == 2


# --- Fingerprint ---


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("change", ["image", "label", "name", "beside"])
def test_fingerprint_changes_with_images_and_labels(one, tmp_path, monkeypatch, large, change):
    if large:
        monkeypatch.setattr("faceexp_dataset_parquet_images.MOST_BYTES_READ", 0)
    (tmp_path / "x.png").write_bytes(PNGS[7])
    images, labels, names = [{"bytes": None, "path": "x.png"}, *inside(range(3))], [0, 1, 0, 1], ["anna", "berta"]
    plugin = one(table(images, labels, names))
    before = plugin.build(seed=0).fingerprint
    assert plugin.build(seed=1).fingerprint == before
    if change == "image":
        images[1] = {"bytes": PNGS[8], "path": "1.png"}
    elif change == "label":
        labels = [0, 1, 1, 1]
    elif change == "name":
        names = ["anna", "bertha"]
    else:
        (tmp_path / "x.png").write_bytes(PNGS[6] + b"longer")
    assert one(table(images, labels, names)).build(seed=0).fingerprint != before


def test_fingerprint_of_small_data_is_the_same_wherever_they_lie(three):
    before = ParquetImages(path=str(three)).build(seed=0).fingerprint
    for file in three.iterdir():
        os.utime(file, ns=(1, 1))
    moved = three.rename(three.with_name("moved"))
    assert ParquetImages(path=str(moved)).build(seed=0).fingerprint == before


# --- What is refused, and in which words ---


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            pa.table({"img": PNGS[:2], "label": [0, 1]}),
            ["FOLDER/faces.parquet: has no column 'image'; did you mean 'img'?"],
        ),
        (
            pa.table({"image": PNGS[:2], "who": [0, 1]}),
            ["FOLDER/faces.parquet: has no column 'label'; known: image, who"],
        ),
        (
            table(pa.array(["0.png", "1.png"]), [0.5, 1.5]),
            [
                "FOLDER/faces.parquet: column 'image' holds string; it has to hold the bytes of image files, alone or as "
                "the part 'bytes' beside 'path'",
                "FOLDER/faces.parquet: column 'label' holds numbers; it has to hold names or whole numbers",
            ],
        ),
        (
            table(inside(range(5)), [0, -1, 7, None, 1], ["anna", "berta"]),
            [
                "FOLDER/faces.parquet, row 2: has no label in 'label'; remove the row",
                "FOLDER/faces.parquet, row 4: has no label in 'label'; remove the row",
                "FOLDER/faces.parquet, row 3: has a label that is none of the 2 in 'label', which are counted from 0",
            ],
        ),
        (
            table(inside(range(3)), ["anna", " ", None]),
            [
                "FOLDER/faces.parquet, row 2: has no label in 'label'; remove the row",
                "FOLDER/faces.parquet, row 3: has no label in 'label'; remove the row",
            ],
        ),
        (
            table(inside(range(2)), ["anna", "anna"]),
            [
                "FOLDER/faces.parquet: 1 identity, but a comparison of faces needs two or more; add images of other people"
            ],
        ),
        (table(inside([]), pa.array([], pa.int64())), ["FOLDER/faces.parquet: has no rows; each image is one"]),
        (
            table(inside(range(2)), [0, 1], ["anna", "anna"]),
            ["FOLDER/faces.parquet: its metadata 'huggingface' do not give each label in 'label' a name of its own"],
        ),
    ],
)
def test_every_mistake_is_a_line(one, tmp_path, made, expected):
    assert problems(one(made), tmp_path) == expected


def test_rows_without_an_image(one, tmp_path):
    (tmp_path / "0.png").write_bytes(PNGS[0])
    paths = [None, "../0.png", "/0.png", "a/../../0.png", "0.png", "./0.png", "1.png", "2.png"]
    images = [*({"bytes": None, "path": path} for path in paths), *inside([0, 1])]
    outside = "is outside the folder of the Parquet file; only files inside are read"
    assert problems(one(table(images, ["anna", "berta"] * 5)), tmp_path) == [
        "FOLDER/faces.parquet, row 1: has neither bytes nor a path of an image; remove the row",
        f"FOLDER/faces.parquet, row 2: its image '../0.png' {outside}",
        f"FOLDER/faces.parquet, row 3: its image '/0.png' {outside}",
        f"FOLDER/faces.parquet, row 4: its image 'a/../../0.png' {outside}",
        "FOLDER/faces.parquet, row 6: names the image './0.png' again, after FOLDER/faces.parquet, row 5; name each once",
        "FOLDER: images that have no bytes do not exist as files either (2): '1.png' (FOLDER/faces.parquet, row 7), "
        "'2.png' (FOLDER/faces.parquet, row 8)",
    ]


def test_a_later_row_without_bytes_is_named_when_it_is_decoded(one):
    made = table(pa.array([PNGS[0], None, PNGS[2]], pa.binary()), ["anna", "berta", "anna"])
    faces = one(made).build(seed=0)
    with pytest.raises(UnreadableImageError, match="the row has no bytes"):
        opened(faces.images[1], np.asarray)
    assert place_of(faces, 1) == "faces.parquet/2"


def test_a_row_group_that_would_fill_the_memory(one, tmp_path, monkeypatch):
    monkeypatch.setattr("faceexp_dataset_parquet_images.MAX_GROUP_BYTES", 100)
    (line,) = problems(one(table(inside(range(3)), [0, 1, 0])), tmp_path)
    assert line == (
        "FOLDER/faces.parquet: row group 1 holds 0.0 GiB, which would all be in memory at once; write the file with "
        "row_group_size=1000"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda made: made.drop(["label"]),
            "lacks 'label', compared with train-00000-of-00003.parquet; give files with the same columns",
        ),
        (
            lambda made: made.append_column("age", pa.array([1, 2, 3])),
            "has 'age' besides, compared with train-00000-of-00003.parquet; give files with the same columns",
        ),
        (
            lambda made: made.set_column(1, "label", pa.array(["a", "b", "c"])),
            "column 'label' holds texts, that of train-00000-of-00003.parquet whole numbers; write one kind",
        ),
        (
            lambda made: made.replace_schema_metadata(None),
            "names the labels in 'label' otherwise than train-00000-of-00003.parquet; give files of one data set",
        ),
        (
            lambda made: made.replace_schema_metadata({"huggingface": "{"}),
            "its metadata 'huggingface' are damaged (it is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1))",
        ),
    ],
)
def test_files_that_differ(three, change, expected):
    file = three / "train-00001-of-00003.parquet"
    parquet.write_table(change(parquet.read_table(file)), file)
    assert problems(ParquetImages(path=str(three)), three) == [f"FOLDER/{file.name}: {expected}"]


@pytest.mark.parametrize("length", [0, 4, 100, -10])
def test_files_that_are_cut_off_are_named_together(three, length):
    for number in (0, 2):
        file = three / f"train-{number:05}-of-00003.parquet"
        file.write_bytes(file.read_bytes()[:length])
    first, second = problems(ParquetImages(path=str(three)), three)
    assert first.startswith("FOLDER/train-00000-of-00003.parquet: is truncated, damaged or no Parquet file (")
    assert second.startswith("FOLDER/train-00002-of-00003.parquet: is truncated, damaged or no Parquet file (")


def test_images_that_are_damaged_are_named_when_they_are_decoded(one):
    plugin = one(table(pa.array([PNGS[0], b"no image", PNGS[2]]), [0, 1, 0]), how={"compression": "none"})
    faces = plugin.build(seed=0)
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        opened(faces.images[1], np.asarray)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_without_effect(tmp_path_factory, data):
    """Whatever bytes are changed: there are lines for people, or a data set that is one."""
    file = tmp_path_factory.mktemp("faces") / "faces.parquet"
    parquet.write_table(table(inside(range(4)), [0, 1] * 2, ["anna", "berta"], sex=["f", "m"] * 2), file)
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        faces = ParquetImages(path=str(file)).build(seed=0)
    except InputError as error:
        assert error.problems
        return
    assert mistakes_of(faces) == []
    for image in faces.images:
        assert isinstance(image, StoredImage)
        try:
            image.read()
        except OSError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nothing.parquet", "FOLDER/nothing.parquet: no such file; give a .parquet file, a folder or a pattern"),
        ("no*.parquet", "FOLDER/no*.parquet: no file is called so; give a file, a folder or a pattern"),
        (
            "pipe",
            "FOLDER/pipe: is a pipe, not an ordinary file; give a .parquet file, a folder or a pattern",
        ),
        (
            "",
            "FOLDER: holds no file that ends with .parquet; there are some in 'data', give that folder",
        ),
        ("empty", "FOLDER/empty: holds no file that ends with .parquet"),
    ],
)
def test_what_is_no_file_is_a_line(tmp_path, path, expected):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.parquet").touch()
    assert problems(ParquetImages(path=str(Path(tmp_path, path))), tmp_path) == [expected]


DAMAGE = """
import sys
from pathlib import Path
from faceexp_dataset_parquet_images import ParquetImages
from faceexp.errors import InputError
file = Path(sys.argv[1])
content = file.read_bytes()
end = int.from_bytes(content[-8:-4], "little") + 8
for place in range(len(content) - end, len(content)):
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    try:
        ParquetImages(path=str(file)).build(0)
    except InputError:
        pass
"""


def test_damage_of_what_a_file_says_of_itself_does_not_end_the_process(tmp_path):
    """Arrow ends the process where it is asked about columns of such a file, without an error that could be caught."""
    parquet.write_table(table(inside(range(2)), [0, 1]), tmp_path / "faces.parquet", store_schema=False)
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, tmp_path / "faces.parquet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
