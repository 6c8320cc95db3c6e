"""Tar shards of samples: how they are read, that tarfile finds the same in them, and what is refused."""

from __future__ import annotations

import functools
import gzip
import io
import json
import mmap
import os
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from faceexp_dataset_webdataset import Shard, WebDataset
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image

from faceexp.data import images
from faceexp.data.face_data import mistakes_of
from faceexp.errors import InputError
from faceexp.testing import DatasetContract


@functools.cache
def picture(seed=0, kind="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def header(name, size, kind=b"0", prefix=b""):
    """Return the header of a member, byte for byte as POSIX says."""
    block = struct.pack(
        "<100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x",
        *(name, b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % size, b"00000000000\0", b" " * 8, kind, b""),
        *(b"ustar\0", b"00", b"", b"", b"", b"", prefix),
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def tar(members, end=bytes(1024)):
    """Return a tar file of (name, content)."""
    return b"".join(header(name.encode(), len(data)) + data + bytes(-len(data) % 512) for name, data in members) + end


def samples(people, first=0, **others):
    """Return members of a sample for each person: image, number of the person, and what is given besides."""
    for place, person in enumerate(people, first):
        yield f"{place:04d}.png", picture(place)
        yield f"{place:04d}.cls", str(person).encode()
        for ending, contents in others.items():
            yield f"{place:04d}.{ending}", contents[place - first]


@pytest.fixture
def save(tmp_path):
    """Write a shard, and return the plugin for the folder."""

    def write(members, name="faces.tar", end=bytes(1024), **options):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(members if isinstance(members, bytes) else tar(members, end))
        return WebDataset(path=str(tmp_path), **options)

    return write


def problems(plugin):
    """Return what building says of shards that are refused, without their folder."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    return [str(problem).replace(f"{plugin.path}/", "") for problem in caught.value.problems]


def problem(plugin):
    (only,) = problems(plugin)
    return only


def names(faces):
    return [image.name for image in faces.images]


class TestWebDatasetContract(DatasetContract):
    @pytest.fixture(params=["cls", "json", "folder"])
    def plugin(self, save, request):
        described = [json.dumps({"identity": name, "age": 30}).encode() for name in ("Ann", "Bob", "Ann")]
        members = list(samples([1, 0, 1], json=described))
        if request.param == "folder":
            members = [(f"faces/{name[3]}/{name}", data) for name, data in members]
        return save(members, identity=request.param)


# --- What is found ---


def test_consecutive_members_of_one_name_are_a_sample(save):
    faces = save(samples([7, 10, 7], txt=[b"a", b"b", b"c"])).build(seed=0)
    assert faces.identities == ("7", "10")
    assert faces.labels.tolist() == [0, 1, 0]
    assert names(faces) == ["faces.tar/0000.png", "faces.tar/0001.png", "faces.tar/0002.png"]
    assert [image.read() for image in faces.images] == [picture(0), picture(1), picture(2)]
    assert faces.columns == {}


def test_decoded_pixels_are_those_of_pillow(save):
    members = [
        member
        for place, kind in enumerate(["PNG", "JPEG", "WEBP"] * 10)
        for member in [(f"{place}.{kind.lower()}", picture(place, kind)), (f"{place}.cls", b"%d" % (place % 3))]
    ]
    faces = save(members).build(seed=0)
    with ThreadPoolExecutor(4) as pool:
        decoded = pool.map(lambda image: images.opened(image, np.asarray), faces.images)
        for (_, content), pixels in zip(members[::2], decoded, strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize(
    ("identity", "expected"),
    [("cls", ("2", "11")), ("txt", ("Ann Lee", "Jörg")), ("json", ("2", "b")), ("folder", ("x", "y"))],
)
def test_where_the_identity_may_stand(save, identity, expected):
    described = [json.dumps({"who": who}).encode() for who in ("b", 2, "b")]
    texts = ["Jörg\n".encode(), b"Ann Lee", "Jörg".encode()]
    members = samples([11, 2, 11], txt=texts, json=described)
    inside = [(f"./faces/{'xy'[name[3] == '1']}/{name}", data) for name, data in members]
    faces = save(inside, identity=identity, identity_key="who").build(seed=0)
    assert faces.identities == expected
    assert faces.labels.tolist() == ([0, 1, 0] if identity == "folder" else [1, 0, 1])
    assert names(faces)[0] == "faces.tar/./faces/x/0000.png"


def test_what_is_no_part_of_a_sample_is_ignored(save):
    members = [
        ("README", b"about these faces"),
        ("README.md", b"about these faces"),
        ("._0000.png", b"what another system keeps"),
        *samples([0, 1]),
        ("licence.pdf", b""),
    ]
    folder = header(b"empty.png/", 0, b"5")
    assert len(save(folder + tar(members)).build(seed=0).images) == 2


def test_columns_are_what_every_sample_says_as_a_number_or_a_text(save):
    said: list[dict[str, object]] = [
        {"age": 31, "quality": 0.5, "sex": "f", "glasses": True, "camera": None, "left": 1, "boxes": [1], "odd": 1, "l": "x" * 101},
        {"age": 32, "quality": None, "sex": None, "glasses": False, "camera": "b", "boxes": [2], "odd": "1", "l": ""},
        {"age": 33, "quality": 2, "sex": "m", "glasses": True, "camera": "c", "new": 1, "boxes": [], "odd": 2, "l": "x"},
    ]  # fmt: skip
    plugin = save(samples([0, 1, 1], json=[json.dumps({**one, "landmarks": 1}).encode() for one in said]))
    columns = plugin.build(seed=0).columns
    assert {name: column.tolist() for name, column in columns.items() if name != "quality"} == {
        "age": [31, 32, 33],
        "sex": ["f", "", "m"],
        "glasses": [True, False, True],
        "camera": ["", "b", "c"],
    }
    np.testing.assert_array_equal(columns["quality"], [0.5, np.nan, 2])
    fewer = plugin.model_copy(update={"identity": "json", "identity_key": "age", "people": 2}).build(seed=0)
    assert sorted(fewer.columns) == ["camera", "glasses", "quality", "sex"]
    assert fewer.columns["camera"].tolist() == ["", "b"]


def test_identities_may_be_left_out(save):
    faces = save(samples([0, 1, 2, 1, 3, 2, 3]), min_images=2, people=2).build(seed=0)
    assert (faces.identities, faces.labels.tolist()) == (("1", "2"), [0, 1, 0, 1])
    assert names(faces)[-1] == "faces.tar/0005.png"
    assert faces.notes == (
        "min_images = 2 of the data set leaves out 1 of 4 people",
        "people = 2 of the data set leaves out 1 more people",
    )


@pytest.mark.parametrize(
    "pattern", ["", "a-{0..2}.tar", "a-*.tar", "a-{0..1}.tar a-2.tar", "{b,a}-{0,1,2}.tar", "a-{0,1,1}.tar a-2.tar"]
)
def test_the_shards_that_a_path_means(save, tmp_path, pattern):
    for number in range(3):
        save(samples([0, 1], first=2 * number), name=f"a-{number}.tar")
    if pattern.startswith("{b"):
        save(samples([0, 1], first=6), name="b-0.tar")
        for number in (1, 2):
            save(b"\0" * 1024, name=f"b-{number}.tar")
    (tmp_path / "notes.txt").touch()
    found = [
        name for one in pattern.split() or [""] for name in names(WebDataset(path=str(tmp_path / one)).build(seed=0))
    ]
    expected = [f"a-{number // 2}.tar/{number:04d}.png" for number in range(6)]
    first = ["b-0.tar/0006.png", "b-0.tar/0007.png"] if pattern.startswith("{b") else []
    assert found == first + expected


def test_numbers_in_braces_are_as_wide_as_they_are_written(save, tmp_path):
    for number in (8, 9, 10):
        save(samples([0, 1]), name=f"{number:03d}.tar")
        save(samples([0, 1]), name=f"x{number}.tar")
    assert len(WebDataset(path=str(tmp_path / "{008..010}.tar")).build(seed=0).images) == 6
    assert len(WebDataset(path=str(tmp_path / "x{8..10}.tar")).build(seed=0).images) == 6


def test_images_are_a_sequence(save):
    faces = save(samples([0, 1, 2])).build(seed=0)
    assert names(faces)[1:] == [image.name for image in faces.images[1:]]
    assert faces.images[-1].name == faces.images[np.int64(2)].name == "faces.tar/0002.png"
    with pytest.raises(IndexError):
        faces.images[3]


def test_fingerprint_is_that_of_the_content(save, tmp_path):
    members = list(samples([0, 1, 1]))
    before = save(members).build(seed=0).fingerprint
    assert save(members).build(seed=0).fingerprint == before
    changed = [(name, data[:-1] + b"!" if name == "0001.png" else data) for name, data in members]
    assert save(changed).build(seed=0).fingerprint != before
    assert save(samples([0, 1, 0])).build(seed=0).fingerprint != before
    assert save(members, people=2, min_images=1).build(seed=0).fingerprint == before


# --- tarfile finds the same ---


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=130
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


# A file may be a tar file itself, of which nothing is a member of the shard.
CONTENTS = st.binary(max_size=1100) | st.sampled_from([tar([("inside.png", b"1")]), header(b"x", 0) * 3, bytes(2000)])
PROPERTIES = st.sampled_from([{}, {"mtime": "1.5"}, {"comment": "path=a"}, {"atime": "2.25", "ctime": "3.5"}])


def archived(file, members, form):
    """Write a tar file with the standard library."""
    with tarfile.open(file, "w", format=form) as archive:
        for parts, data, kind, properties in members:
            about = tarfile.TarInfo("/".join(parts))
            about.size, about.type, about.pax_headers = len(data), kind, properties
            archive.addfile(about, io.BytesIO(data))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(NAMES, min_size=1, max_size=3),
            CONTENTS,
            st.sampled_from([tarfile.REGTYPE] * 3 + [b"7"]),
            PROPERTIES,
        ),
        max_size=12,
    ),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.sampled_from([1, 3, 8192]),
)
def test_the_same_members_as_tarfile_finds(tmp_path_factory, members, form, window):
    file = tmp_path_factory.mktemp("tar") / "a.tar"
    try:
        archived(file, members, form)
    except ValueError:  # a name that this format cannot say
        reject()
    with file.open("rb") as opened:
        content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    with tarfile.open(file, "r:") as archive:
        expected = [(about.name, about.offset_data, about.size) for about in archive if about.isfile()]
    with mock.patch("faceexp_dataset_webdataset.WINDOW", window):
        found = [file for files in Shard(content).files() for file in zip(*files, strict=True)]
    assert [(name.rstrip("/"), start, size) for name, start, size in found] == expected


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_that_are_long(tmp_path, form):
    long = f"{'folder' * 20}/{'name' * 20}"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for person in "xy":
            for ending, data in (("png", picture()), ("txt", person.encode())):
                about = tarfile.TarInfo(f"{long}{person}.{ending}")
                about.size = len(data)
                archive.addfile(about, io.BytesIO(data))
    faces = WebDataset(path=str(tmp_path), identity="txt").build(seed=0)
    assert names(faces) == [f"a.tar/{long}x.png", f"a.tar/{long}y.png"]
    assert faces.images[1].read() == picture()


# --- What is refused, and in which words ---


def test_paths_that_lead_to_no_shard(save, tmp_path):
    plugin = save(samples([0, 1]), name="faces.tar.gz")
    assert problem(plugin) == f"{tmp_path}: has no .tar file; decompress faces.tar.gz and the like"
    save(samples([0, 1]), name="faces-0.tar")
    assert problem(WebDataset(path=f"{tmp_path}/faces-1.tar")).endswith(
        "faces-1.tar: no such file; did you mean 'faces-0.tar'?"
    )
    assert "faces-1.tar: no such file" in problem(WebDataset(path=f"{tmp_path}/faces-{{0..1}}.tar"))
    assert "x*.tar: no such file; give a folder of .tar files" in problem(WebDataset(path=f"{tmp_path}/x*.tar"))
    assert "stands for more than 100,000 files" in problem(WebDataset(path=f"{tmp_path}/{{0..999999999}}.tar"))


@pytest.mark.parametrize("name", ["faces.tar", "faces.tar.gz"])
def test_a_compressed_shard(save, tmp_path, name):
    save(gzip.compress(tar(samples([0, 1]))), name=name)
    plugin = WebDataset(path=str(tmp_path / name))
    assert problem(plugin).endswith(f"{name}: is compressed (gzip); decompress it: images are read where they lie")


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "faces.tar")
    assert problem(WebDataset(path=str(tmp_path))) == "faces.tar: is a pipe, not an ordinary file"


WHOLE = tar(samples([0, 1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, and no tar file"),
        (bytes(10240), "has no images; each needs a name such as 0001.jpg"),
        (b"no tar file at all", "is cut off: it ends at byte 18 without the mark that ends a tar file"),
        (b"no tar file at all" * 100, "is damaged at byte 0, or no tar file"),
        (WHOLE[:-1024], f"is cut off: it ends at byte {len(WHOLE) - 1024:,} without the mark that ends a tar file"),
        (WHOLE[:600], f"is cut off: member '0000.png' should have {len(picture(0))} bytes, and 88 are there"),
        (WHOLE[:124] + b"-0000001000\0" + WHOLE[136:], "is damaged at byte 0, or no tar file"),
        (WHOLE[:3] + b"9" + WHOLE[4:], "is damaged at byte 0, or no tar file"),
        (WHOLE[:1024] + b"?" * 512 + WHOLE[1536:], "is damaged at byte 1,024, or no tar file"),
        (WHOLE + WHOLE, f"goes on behind the mark that ends a tar file (byte {len(WHOLE) - 1024:,})"),
        (header(b"a.png", 0, b"2") + WHOLE, "member 'a.png' is a link; only ordinary files can be read"),
        (header(b"a.png", 0, b"1") + WHOLE, "member 'a.png' is a link; only ordinary files can be read"),
        (header(b"a.png", 0, b"3") + WHOLE, "member 'a.png' is a device; only ordinary files can be read"),
        (header(b"a.png", 0, b"S") + WHOLE, "member 'a.png' is a file with gaps; only ordinary files can be read"),
        (header(b"a", 2**21, b"x") + bytes(2**21) + WHOLE, "is damaged at byte 0, or no tar file"),
        (tar([*samples([0, 1]), *samples([0])]), "has member '0000.png' twice; write it anew"),
    ],
)
def test_damaged_shards(save, content, message):
    said = problem(save(content))
    assert message in said
    assert "faces.tar: " in said or "has no images" in said


def pax(*records):
    """Return a member that says something of the next one."""
    said = b"".join(b"%d %s\n" % (len(record) + 2 + len(str(len(record) + 3)), record) for record in records)
    return header(b"pax", len(said), b"x") + said + bytes(-len(said) % 512)


def test_what_a_header_says_of_the_next_member(save):
    body = picture(0) + bytes(-len(picture(0)) % 512)
    sized = pax(b"path=other/1.png", b"size=%d" % len(picture(0))) + header(b"0.png", 0) + body
    faces = save(sized + tar(samples([0, 1])), identity="cls")
    assert (
        problem(faces) == "faces.tar: sample 'other/1' has no .cls (only .png); set identity to what says whom it shows"
    )
    assert problem(save(pax(b"size=many") + WHOLE)) == "faces.tar: is damaged at byte 1,024, or no tar file"
    assert problem(save(pax(b"size=-512") + WHOLE)) == "faces.tar: is damaged at byte 1,024, or no tar file"
    assert "is a file with gaps" in problem(save(pax(b"GNU.sparse.major=1") + WHOLE))
    assert len(save(pax(b"mtime=1.5") + WHOLE).build(seed=0).images) == 2
    late = pax(b"comment=" + b"." * 600, b"path=2/0000.png")
    assert "sample '2/0000' has no .cls (only .png)" in "".join(problems(save(late + WHOLE)))


def test_a_size_of_twelve_digits(save):
    """Most programs write eleven and an end; some use the place of the end for a digit."""
    first = bytearray(WHOLE[:512])
    first[124:136] = b"%012o" % len(picture(0))
    first[148:156] = b"%06o\0 " % sum(first[:148] + b" " * 8 + first[156:])
    faces = save(bytes(first) + WHOLE[512:]).build(seed=0)
    assert [image.read() for image in faces.images] == [picture(0), picture(1)]


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([("1.png", b"")], {}, "sample '1' has no .cls (only .png); set identity to what says whom it shows"),
        ([("1.png", b""), ("1.json", b"{}")], {}, "sample '1' has no .cls (only .png, .json); set identity"),
        ([("1.cls", b"0")], {}, "sample '1' has a .cls and no image"),
        ([("1.a.png", b""), ("1.b.jpg", b""), ("1.cls", b"0")], {}, "sample '1' has 2 images (a.png, b.jpg); leave one"),
        ([("1.png", b""), ("1.cls", b"Ann")], {}, "sample '1' has a .cls that is no whole number from 0; for names, use"),
        ([("1.png", b""), ("1.cls", b"-1")], {}, "sample '1' has a .cls that is no whole number from 0"),
        ([("1.png", b""), ("1.cls", b"\xff")], {}, "sample '1' has a .cls that is not UTF-8 text"),
        ([("1.png", b""), ("1.cls", b"1" * 2**21)], {}, "sample '1' has 2,097,152 bytes in '1.cls'; 1,048,576 are the"),
        ([("1.png", b""), ("1.txt", b"a\nb")], {"identity": "txt"}, "sample '1' has a .txt that does not say whom it shows"),
        ([("1.png", b""), ("1.txt", b" ")], {"identity": "txt"}, "sample '1' has a .txt that does not say whom it shows"),
        ([("1.png", b""), ("1.json", b"{")], {"identity": "json"}, "sample '1' has a .json that cannot be used: it is not JSON"),
        ([("1.png", b""), ("1.json", b"[]")], {"identity": "json"}, "sample '1' has a .json that is no object with keys"),
        ([("1.png", b""), ("1.json", b"{}")], {"identity": "json"}, "sample '1' has no key 'identity' in its .json, which is empty"),
        ([("1.png", b""), ("1.json", b'{"id": 1}')], {"identity": "json"}, "sample '1' has no key 'identity' in its .json, known: id; set identity_key"),
        ([("1.png", b""), ("1.json", b'{"identity": true}')], {"identity": "json"}, "sample '1' has a .json that does not say whom"),
        ([("1.png", b"")], {"identity": "folder"}, "sample '1' lies in no folder; name one after each person"),
        ([("./1.png", b"")], {"identity": "folder"}, "sample './1' lies in no folder; name one after each person"),
    ],
)  # fmt: skip
def test_samples_that_lack_something(save, members, options, message):
    assert problem(save(members, **options)).startswith(f"faces.tar: {message}")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=5)), min_size=1, max_size=3),
    st.sampled_from(["cls", "json", "folder"]),
)
def test_whatever_is_changed_is_refused_in_a_line_or_read(tmp_path_factory, changes, identity):
    file = tmp_path_factory.mktemp("tar") / "faces.tar"
    described = [b'{"identity": "a", "age": 3}', b'{"identity": 7, "age": 4}']
    members = [(f"{name[3]}/{name}", data) for name, data in samples([0, 1], json=described)]
    content = bytearray(pax(b"path=0/0000.png") + tar(members))
    for place, new in changes:
        place %= len(content)
        content[place : place + max(len(new), 1)] = new
    file.write_bytes(content)
    try:
        faces = WebDataset(path=str(file), identity=identity).build(seed=0)
    except InputError as error:
        assert all("\n" not in str(problem) for problem in error.problems)
        return
    assert mistakes_of(faces) == []
    assert all(image.read() for image in faces.images)


def test_many_samples_that_lack_something(save):
    said = problems(save([(f"{number:02d}.png", b"") for number in range(30)]))
    assert len(said) == 21
    assert said[-1] == "and 10 more samples"


def test_too_few_people(save, tmp_path):
    assert problem(save(samples([3, 3, 4]), min_images=2)) == (
        f"{tmp_path}: 1 identity with at least 2 images, but a comparison of faces needs two or more; lower min_images"
    )


def test_a_shard_that_became_shorter_is_noticed_when_it_is_read(save, tmp_path):
    faces = save(samples([0, 1])).build(seed=0)
    os.truncate(tmp_path / "faces.tar", 600)
    with pytest.raises(images.UnreadableImageError, match="is cut off, faces.tar has become shorter"):
        images.opened(faces.images[0], np.asarray)
