"""Images that a table names: how CSV and Parquet are read, and that every mistake is a clear line."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faceexp_dataset_image_list import ImageList
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from faceexp.data.face_data import mistakes_of
from faceexp.data.images import opened
from faceexp.errors import InputError
from faceexp.registry.path_options import path_options
from faceexp.testing import DatasetContract

LANDMARKS = [f"{axis}{point}" for point in range(1, 6) for axis in "xy"]
HEADER = ",".join(["path", "identity", *LANDMARKS])


@pytest.fixture
def folder(tmp_path):
    """Four images, all different."""
    for number, name in enumerate("abcd"):
        Image.new("L", (6, 5), 10 * number).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def listed(folder):
    """Write a CSV file beside the images, and return the plugin for it."""

    def listed(content, name="list.csv", **options):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return ImageList(path=str(folder / name), **options)

    return listed


@pytest.fixture
def tabled(folder):
    """Write a Parquet file beside the images, and return the plugin for it."""

    def tabled(columns, **options):
        parquet.write_table(pa.table(columns), folder / "list.parquet")
        return ImageList(path=str(folder / "list.parquet"), **options)

    return tabled


def names(faces):
    return [path.name for path in faces.images]


def problems(plugin):
    """Return what building says about a table that it refuses, with FOLDER for where it lies."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    lines = [str(problem) for problem in caught.value.problems]
    assert not any("\n" in line for line in lines)
    return [line.replace(str(Path(plugin.path).absolute().parent), "FOLDER") for line in lines]


class TestImageListContract(DatasetContract):
    @pytest.fixture(params=["csv", "parquet"])
    def plugin(self, listed, tabled, request):
        if request.param == "csv":
            return listed("path,identity,age\na.png,anna,30\nb.png,berta,\nc.png,anna,31\n")
        return tabled({"path": ["a.png", "b.png", "c.png"], "identity": [7, 9, 7], "age": [30, None, 31]})


def test_options_that_are_paths():
    assert path_options(ImageList) == {"path": "file", "root": "folder"}


# --- What is found ---


def test_images_are_in_the_order_of_the_table_and_people_in_that_of_their_names(listed, folder):
    faces = listed("path,identity\nc.png,berta\na.png,anna\nb.png,berta\n").build(seed=0)
    assert list(faces.images) == [folder / "c.png", folder / "a.png", folder / "b.png"]
    assert faces.identities == ("anna", "berta")
    assert faces.labels.dtype == np.int32
    assert faces.labels.tolist() == [1, 0, 1]
    assert list(faces.images[1:]) == [folder / "a.png", folder / "b.png"]


def test_decoded_pixels_are_those_of_pillow(listed, folder):
    faces = listed("path,identity\na.png,anna\nb.png,berta\n").build(seed=0)
    for image in faces.images:
        pixels = opened(image, np.asarray)
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(image)))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_usual_ways_to_write_a_table(listed, separator, end, mark):
    rows = [["path", "identity", "camera"], ["a.png", "anna", "Ä"], ["b.png", "berta", "B"]]
    faces = listed(mark + "".join(separator.join(row) + end for row in rows)).build(seed=0)
    assert names(faces) == ["a.png", "b.png"]
    assert faces.identities == ("anna", "berta")
    assert faces.columns["camera"].tolist() == ["Ä", "B"]


def test_spaces_around_values_and_empty_lines_do_not_count(listed):
    faces = listed('path, identity\n\na.png, anna\n ,\n"b.png" ,berta\n\n').build(seed=0)
    assert names(faces) == ["a.png", "b.png"]
    assert faces.identities == ("anna", "berta")


def test_a_column_without_a_name_is_left_out_as_pandas_writes_one_for_its_index(listed):
    faces = listed(",path,identity\n0,a.png,anna\n1,b.png,berta\n").build(seed=0)
    assert (names(faces), dict(faces.columns)) == (["a.png", "b.png"], {})


def test_other_names_of_columns_and_another_folder(folder):
    (folder / "lists").mkdir()
    (folder / "lists" / "mine.csv").write_text("file,who\na.png,anna\nb.png,berta\n")
    options = {"path_column": "file", "identity_column": "who", "root": str(folder)}
    faces = ImageList(path=str(folder / "lists" / "mine.csv"), **options).build(seed=0)
    assert list(faces.images) == [folder / "a.png", folder / "b.png"]


def test_nobody_may_know_whom_the_images_show(listed):
    faces = listed("path,quality\nb.png,0.5\na.png,1\n", identity_column="").build(seed=0)
    assert (names(faces), faces.labels.tolist(), faces.identities) == (["b.png", "a.png"], [0, 1], ("b.png", "a.png"))
    assert not faces.people_known
    assert mistakes_of(faces) == []
    assert faces.columns["quality"].tolist() == [0.5, 1]


def test_paths_may_lead_out_of_the_folder_and_be_absolute(listed, folder):
    (folder / "lists").mkdir()
    text = f"path,identity\n../a.png,anna\n{folder / 'b.png'},berta\n"
    faces = listed(text, name="lists/list.csv").build(seed=0)
    assert [path.resolve() for path in faces.images] == [folder / "a.png", folder / "b.png"]


def test_columns_are_numbers_if_all_their_values_are(listed):
    text = (
        "path,identity,sex,age,quality,camera,template,nothing\n"
        "a.png,anna,f,30,0.5,1,007,\nb.png,berta,m,,1e-1,,8,\nc.png,anna,,29,+.75,x,9,\n"
    )
    columns = listed(text).build(seed=0).columns
    assert columns["sex"].tolist() == ["f", "m", ""]
    np.testing.assert_array_equal(columns["age"], [30, np.nan, 29])
    assert columns["quality"].tolist() == [0.5, 0.1, 0.75]
    assert columns["camera"].tolist() == ["1", "", "x"]
    assert (columns["template"].tolist(), columns["template"].dtype) == ([7, 8, 9], np.int64)
    assert columns["nothing"].tolist() == ["", "", ""]


def test_a_column_of_numbers_that_one_value_makes_texts_is_said(listed):
    faces = listed("path,identity,age\na.png,anna,30\nb.png,berta,old\nc.png,anna,29\n").build(seed=0)
    assert faces.columns["age"].tolist() == ["30", "old", "29"]
    (note,) = faces.notes
    assert note == (
        "column 'age' counts as texts, since 1 of 3 values are no numbers; the first, 'old', is in list.csv:3"
    )


def test_ten_columns_are_landmarks(listed):
    text = f"{HEADER},sex\na.png,anna,1,2,3,4,5,6,7,8,9,10,f\nb.png,berta,,,,,,,,,0,1.5,m\n"
    columns = listed(text).build(seed=0).columns
    assert set(columns) == {"landmarks", "sex"}
    assert columns["landmarks"].shape == (2, 5, 2)
    np.testing.assert_array_equal(columns["landmarks"][0], [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]])
    np.testing.assert_array_equal(columns["landmarks"][1], [[np.nan] * 2] * 4 + [[0, 1.5]])


def test_two_points_are_a_box_and_no_landmarks(listed):
    faces = listed("path,identity,x1,y1,x2,y2\na.png,anna,1,2,3,4\nb.png,berta,1,2,3,4\n").build(seed=0)
    assert set(faces.columns) == {"x1", "y1", "x2", "y2"}


def test_a_parquet_file(tabled):
    columns = {
        "path": ["c.png", "a.png", "b.png"],
        "identity": pa.array(["berta", "anna", "berta"]).dictionary_encode(),
        "age": [30, None, 20],
        "glasses": [True, False, True],
        "sex": pa.array(["f", None, "m"], pa.large_string()),
        "template": ["1", "2", "3"],
        "box": [[1, 2], [3, 4], [5, 6]],
        **{name: [float(place)] * 3 for place, name in enumerate(LANDMARKS)},
    }
    faces = tabled(columns).build(seed=0)
    assert (names(faces), faces.identities) == (["c.png", "a.png", "b.png"], ("anna", "berta"))
    assert faces.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(faces.columns["age"], [30, np.nan, 20])
    assert faces.columns["glasses"].dtype == bool
    assert faces.columns["sex"].tolist() == ["f", "", "m"]
    assert faces.columns["template"].tolist() == ["1", "2", "3"]  # texts, since the file says so
    assert faces.columns["landmarks"][2].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    (note,) = faces.notes
    assert note.startswith("the data set leaves out columns that hold more than one value an image: 'box' (list<")


def test_people_who_are_numbers_are_sorted_as_numbers(tabled):
    faces = tabled({"path": ["a.png", "b.png", "c.png"], "identity": [10, 9, 10]}).build(seed=0)
    assert (faces.identities, faces.labels.tolist()) == (("9", "10"), [1, 0, 1])


def test_min_images_leaves_out_people_with_fewer(listed):
    text = "path,identity,age\na.png,clara,1\nb.png,anna,2\nc.png,berta,3\nd.png,anna,4\n"
    assert len(listed(text).build(seed=0).images) == 4
    more = text.replace("clara", "berta")
    faces = listed(more, min_images=2).build(seed=0)
    assert faces.notes == ()
    (line,) = problems(listed(text, min_images=2))
    assert line == (
        "FOLDER/list.csv: 1 identity with at least 2 images, but a comparison of faces needs two or more; lower "
        "min_images or add images"
    )


def test_min_images_leaves_out_their_columns(listed, folder):
    Image.new("L", (6, 5), 99).save(folder / "e.png")
    text = "path,identity,age\na.png,clara,1\nb.png,anna,2\nc.png,berta,3\nd.png,anna,4\ne.png,clara,5\n"
    faces = listed(text, min_images=2).build(seed=0)
    assert names(faces) == ["a.png", "b.png", "d.png", "e.png"]
    assert (faces.identities, faces.labels.tolist()) == (("anna", "clara"), [1, 0, 0, 1])
    assert faces.columns["age"].tolist() == [1, 2, 4, 5]
    assert faces.notes == ("min_images = 2 of the data set leaves out 1 of 3 people",)


def test_a_text_that_would_fill_the_memory_is_left_out(listed, monkeypatch):
    monkeypatch.setattr("faceexp_dataset_image_list.MAX_COLUMN_BYTES", 1000)
    faces = listed(f"path,identity,remark\na.png,anna,{'x' * 200}\nb.png,berta,\n").build(seed=0)
    assert faces.columns == {}
    assert faces.notes == ("the data set leaves out column 'remark', whose longest text has 200 letters",)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
REMARKS = st.text(st.sampled_from('ab,;\t"é'), max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("ab"), REMARKS), min_size=2, max_size=8),
    numbers=st.lists(st.none() | st.floats(-1e9, 1e9) | st.integers(-(10**6), 10**6), min_size=8, max_size=8),
    people=st.lists(TEXTS, min_size=2, max_size=2, unique=True),
    separator=st.sampled_from(",;\t"),
)
def test_what_was_written_is_read(tmp_path_factory, rows, numbers, people, separator):
    """The module csv writes, and quotes what has to be quoted; numbers come back to the last bit."""
    folder = tmp_path_factory.mktemp("faces")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(["path", "identity", "number", "remark"])
    for place, ((person, remark), number) in enumerate(zip(rows, numbers, strict=False)):
        (folder / f"{place}.png").write_bytes(b"not looked into")
        name = people[place % 2 if place < 2 else "ab".index(person)]
        writer.writerow([f"{place}.png", name, "" if number is None else repr(number), remark])
    (folder / "list.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    faces = ImageList(path=str(folder / "list.csv")).build(seed=0)
    assert mistakes_of(faces) == []
    assert names(faces) == [f"{place}.png" for place in range(len(rows))]
    assert faces.identities == tuple(sorted(people))
    used = numbers[: len(rows)]
    if any(number is not None for number in used):
        expected = [np.nan if number is None else number for number in used]
        np.testing.assert_array_equal(faces.columns["number"], expected)
    remarks = [remark.strip(" \t") for _, remark in rows]
    assert faces.columns["remark"].tolist() == remarks


# --- Fingerprint ---

TEXT = f"{HEADER},sex\na.png,anna,1,2,3,4,5,6,7,8,9,10,f\nb.png,berta,1,2,3,4,5,6,7,8,9,10,m\nc.png,anna,,,,,,,,,,,f\n"


@pytest.mark.parametrize("many", [False, True], ids=["few images", "many images"])
@pytest.mark.parametrize(
    "change",
    [("c.png,anna", "c.png,berta"), ("a.png", "d.png"), ("9,10,f", "9,11,f"), ("berta", "bertha"), None],
    ids=["label", "image", "landmark", "name", "content"],
)
def test_fingerprint_changes_with_images_labels_and_landmarks(listed, folder, monkeypatch, change, many):
    if many:
        monkeypatch.setattr("faceexp_dataset_image_list.MOST_IMAGES_READ", 0)
    before = listed(TEXT).build(seed=0).fingerprint
    assert listed(TEXT).build(seed=1).fingerprint == before
    if change is None:
        Image.new("L", (6, 5), 255).save(folder / "a.png")
        os.utime(folder / "a.png", ns=(1, 1))
    assert listed(TEXT.replace(*change) if change else TEXT).build(seed=0).fingerprint != before


def test_fingerprint_is_that_of_the_content_wherever_it_lies(listed, folder):
    before = listed(TEXT).build(seed=0).fingerprint
    assert listed(TEXT.replace("a.png", "./a.png").replace(",", ";")).build(seed=0).fingerprint == before
    assert listed(TEXT.replace(",f\n", ",\n")).build(seed=0).fingerprint == before  # no training depends on it
    os.utime(folder / "a.png", ns=(1, 1))
    assert listed(TEXT).build(seed=0).fingerprint == before


# --- What is refused, and in which words ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,identity\na.png,anna\n", ["FOLDER/list.csv: has no column 'path'; known: file, identity"]),
        ("path,identiy\na.png,anna\n", ["FOLDER/list.csv: has no column 'identity'; did you mean 'identiy'?"]),
        (
            "path,identity\na.png,\n,berta\nb.png,anna\n",
            [
                "FOLDER/list.csv:3: has nothing in column 'path'; fill it in or remove the row",
                "FOLDER/list.csv:2: has nothing in column 'identity'; fill it in or remove the row",
            ],
        ),
        (
            "path,identity\na.png,anna\n\nb.png,berta\n./b.png,clara\n",
            ["FOLDER/list.csv:5: names the image 'b.png' again, after FOLDER/list.csv:4; name each once"],
        ),
        (
            "path,identity\na.png,anna\n1.png,anna\n2.png,berta\n3.png,berta\n4.png,berta\n",
            [
                "FOLDER/list.csv: 4 of 5 images do not exist: '1.png' (FOLDER/list.csv:3), '2.png' (FOLDER/list.csv:4), "
                "'3.png' (FOLDER/list.csv:5) and 1 more; paths are relative to FOLDER, set root if that is another folder"
            ],
        ),
        (
            "path,identity\na.png,anna\n.,berta\n",
            [
                "FOLDER/list.csv: 1 of 2 images is no ordinary file: '.' (FOLDER/list.csv:3); paths are relative to "
                "FOLDER, set root if that is another folder"
            ],
        ),
        (
            "path,identity\na.png,anna\nb.png\nc.png,berta,x,y\n",
            [
                "FOLDER/list.csv:3: has 1 value, but the first line names 2 columns; a value that holds a comma has to be "
                "in quotation marks",
                "FOLDER/list.csv:4: has 4 values, but the first line names 2 columns; a value that holds a comma has to be "
                "in quotation marks",
            ],
        ),
        (
            'path,identity\na.png,"an\nna"\n',
            ["FOLDER/list.csv: a value in column 'identity' goes over several lines"],
        ),
        ("path,identity,path\na.png,anna,b.png\n", ["FOLDER/list.csv:1: names the column 'path' twice"]),
        (
            "path,identity\na.png,anna\nb.png,anna\n",
            ["FOLDER/list.csv: 1 identity, but a comparison of faces needs two or more; add images of other people"],
        ),
        ("path,identity\n", ["FOLDER/list.csv: has no rows; name at least one image each of two people"]),
        (
            "",
            ["FOLDER/list.csv:1: the first line is empty; it has to name the columns, such as path,identity"],
        ),
        (
            "path,identity\na.png,anna\nb\xe9.png,berta\n".encode("latin-1"),
            ["FOLDER/list.csv:3: is not UTF-8 text; save it as CSV in UTF-8"],
        ),
        (
            "path,identity\na.png,anna\n".encode("utf-16"),
            ["FOLDER/list.csv:1: is not UTF-8 text; save it as CSV in UTF-8"],
        ),
        (
            f"{HEADER}\na.png,anna,1,2,3,4,5,6,7,8,9,left\nb.png,berta,-1,2,3,4,5,6,7,8,1e999,10\nc.png,anna,1;5,,,,,,,,,\n",
            [
                "FOLDER/list.csv:2: y5 is 'left', which is no number; write it as 12.5",
                "FOLDER/list.csv:3: x1 is -1, outside the image, whose left and upper edge are 0",
                "FOLDER/list.csv:3: x5 is infinite, which no place in an image is",
                "FOLDER/list.csv:4: x1 is '1;5', which is no number; write it as 12.5",
            ],
        ),
        (
            "path,identity,x1,y1,x2,y2,x3,y3\na.png,anna,1,2,3,4,5,6\n",
            ["FOLDER/list.csv: lacks x4, y4, x5, y5 of the ten columns x1,y1 to x5,y5 of landmarks"],
        ),
        (
            "path,identity,landmarks\na.png,anna,1 2 3\n",
            ["FOLDER/list.csv: has a column 'landmarks'; these are ten columns, x1,y1 to x5,y5"],
        ),
    ],
)
def test_every_mistake_in_a_csv_file_is_a_line(listed, text, expected):
    assert problems(listed(text)) == expected


def test_a_quotation_that_does_not_end(listed):
    assert problems(listed('path,identity\na.png,"anna\nb.png,berta\n')) != []


def test_paths_of_another_system(listed):
    (line,) = problems(listed("path,identity\nx\\a.png,anna\nb.png,berta\n"))
    assert "paths are relative to FOLDER, write paths with / in place of \\" in line


def test_of_many_mistakes_the_first_are_listed(listed):
    lines = problems(listed("path,identity\n" + ",anna\n" * 50))
    assert len(lines) == 21
    assert lines[-1] == "FOLDER/list.csv: and 30 more rows with nothing in column 'path'"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"path": ["a.png", "b.png"], "identity": [1.5, 2.5]},
            "FOLDER/list.parquet: column 'identity' holds double; it has to hold names or whole numbers",
        ),
        (
            {"path": [1, 2], "identity": [1, 2]},
            "FOLDER/list.parquet: column 'path' holds int64, not texts; write them as texts",
        ),
        (
            {"path": ["a.png", "b.png"], "identity": ["anna", None]},
            "FOLDER/list.parquet, row 2: has nothing in column 'identity'; fill it in or remove the row",
        ),
        ({"path": ["a.png"]}, "FOLDER/list.parquet: has no column 'identity'; known: path"),
    ],
)
def test_every_mistake_in_a_parquet_file_is_a_line(tabled, columns, expected):
    assert problems(tabled(columns)) == [expected]


@pytest.mark.parametrize("length", [0, 4, 100, -10])
def test_a_parquet_file_that_is_cut_off(tabled, folder, length):
    plugin = tabled({"path": ["a.png", "b.png"], "identity": [1, 2]})
    file = folder / "list.parquet"
    file.write_bytes(file.read_bytes()[:length])
    (line,) = problems(plugin)
    assert line.startswith("FOLDER/list.parquet: is truncated, damaged or no Parquet file (")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_without_effect(tmp_path_factory, data):
    """Whatever bytes are changed: there are lines for people, or a data set that is one."""
    folder = tmp_path_factory.mktemp("faces")
    name = data.draw(st.sampled_from(["list.csv", "list.parquet"]))
    images = ["a.png", "b.png"]
    columns = {"path": images, "identity": ["anna", "berta"], "age": [30, 40]}
    if name == "list.csv":
        (folder / name).write_text("path,identity,age\na.png,anna,30\nb.png,berta,40\n")
    else:
        parquet.write_table(pa.table(columns), folder / name)
    for image in images:
        (folder / image).write_bytes(b"not looked into")
    content = bytearray((folder / name).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    try:
        faces = ImageList(path=str(folder / name)).build(seed=0)
    except InputError as error:
        assert error.problems
    else:
        assert mistakes_of(faces) == []


@pytest.mark.parametrize("path", ["nothing.csv", "pipe", "/dev/zero", "folder"])
def test_what_is_no_file_is_a_line(folder, monkeypatch, path):
    monkeypatch.chdir(folder)
    os.mkfifo("pipe")
    (folder / "folder").mkdir()
    (line,) = problems(ImageList(path=path))
    assert line.endswith("; give a CSV or Parquet file")
