"""Edited code is other code: the digest of a plugin follows every file that it consists of, and no other."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.registry.code import code_digest


@dataclass(frozen=True)
class Way:
    """One way to put a part of a plugin elsewhere than into its module.

    Attributes:
        line: How the module reaches that part.
        part: Its files.
        foreign: Files near by that do not belong to it.
    """

    line: str
    part: dict[str, str]
    foreign: dict[str, str] = field(default_factory=dict)


WAYS = {
    "one module": Way("", {}),
    "a helper beside it": Way("import helper", {"helper.py": ""}),
    "a helper of a helper": Way("import first", {"first.py": "import second", "second.py": ""}),
    "helpers that import each other": Way("import ping", {"ping.py": "import pong", "pong.py": "import ping"}),
    "a base class elsewhere": Way("from base.classes import Base", {"base/__init__.py": "", "base/classes.py": ""}),
    "imported inside a function": Way("def build():\n    from lazy import formula", {"lazy.py": ""}),
    "imported by its name as text": Way("import importlib\nimportlib.import_module('late')", {"late.py": ""}),
    "imported for a fallback": Way("try:\n    import fast\nexcept ImportError:\n    fast = None", {"fast.py": ""}),
    "a package with data": Way(
        "import parcel",
        {"parcel/__init__.py": "", "parcel/table.csv": "1", "parcel/deep/weights.bin": "1", "parcel/unused.py": ""},
        {"parcel/__pycache__/a.py": "", "parcel/old.pyc": "", "parcel/.git/HEAD": "", "parcel/.a.py.swp": ""},
    ),
    "a relative import": Way(
        "import kin", {"kin/__init__.py": "from . import near", "kin/near.py": "from .deep.a import x", "kin/deep/a.py": ""}
    ),
    "a package without __init__.py": Way(
        "from space.inner import part",
        {"space/inner/part.py": "from ..other import x\nfrom . import third", "space/other.py": "", "space/inner/third.py": ""},
        {"space/stranger.py": "", "space/inner/stranger.py": ""},
    ),
    "given on by an __init__.py": Way("from shop import x", {"shop/__init__.py": "from maker import x", "maker.py": ""}),
    "a file beside it": Way("TABLE = 'table.csv'", {"table.csv": "1"}, {"other.csv": "1"}),
    "a file in a folder beside it": Way("T = ('data', 'a.csv')", {"data/a.csv": "1"}, {"data/b.csv": "1"}),
    "code that cannot be parsed": Way("import odd", {"odd.py": "def ("}),
    "an extension": Way("import compiled", {"compiled.abi3.so": "1"}),
}  # fmt: skip
FOREIGN = {"stranger.py": "", "tests/test_mine.py": "import mine", "README.md": "mine", "mine.py~": "", "setup.py": ""}


@contextlib.contextmanager
def written(files: dict[str, str]) -> Iterator[Path]:
    """Write files into a new folder, in which Python searches meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        sys.path.insert(0, name)
        try:
            yield folder
        finally:
            sys.path.remove(name)


def digest(module: str = "mine") -> str:
    return code_digest(module, "no-such-distribution")


def edit(path: Path) -> None:
    path.write_text(path.read_text() + "\n# edited")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_digest_follows_what_belongs_to_the_plugin_and_nothing_else(data):
    ways = data.draw(st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=4, unique=True))
    part = {"mine.py": "\n".join(WAYS[way].line for way in ways)}
    foreign = dict(FOREIGN)
    for way in ways:
        part |= WAYS[way].part
        foreign |= WAYS[way].foreign
    with written(part | foreign) as folder:
        before, modules = digest(), set(sys.modules)
        edit(folder / data.draw(st.sampled_from(sorted(foreign))))
        assert digest() == before
        edit(folder / data.draw(st.sampled_from(sorted(part))))
        assert digest() != before
        assert set(sys.modules) == modules, "nothing is imported for it"


@pytest.mark.parametrize("way", WAYS)
def test_every_file_of_every_way_counts(way):
    files = {"mine.py": WAYS[way].line} | WAYS[way].part
    with written(files) as folder:
        digests = [digest()]
        for file in files:
            edit(folder / file)
            digests.append(digest())
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("way", WAYS)
def test_two_clones_have_the_same_digest(way):
    files = {"mine.py": WAYS[way].line} | WAYS[way].part
    digests = []
    for _ in range(2):
        with written(files):
            digests.append(digest())
    assert digests[0] == digests[1]


def test_a_plugin_that_is_a_package_counts_with_all_its_files():
    files = {"pack/__init__.py": "", "pack/loss.py": "", "pack/table.npy": "1", "pack/sub/__init__.py": ""}
    with written(files | {"pack/__pycache__/x.pyc": ""}) as folder:
        digests = [digest("pack.loss")]
        edit(folder / "pack/__pycache__/x.pyc")
        assert digest("pack.loss") == digests[0]
        for file in files:
            edit(folder / file)
            digests.append(digest("pack.loss"))
    assert len(set(digests)) == len(digests)


def test_a_plugin_in_a_package_without_init_counts_with_the_files_of_its_folder():
    with written({"lab/mine/loss.py": "", "lab/mine/table.csv": "1", "lab/yours/loss.py": ""}) as folder:
        before = digest("lab.mine.loss")
        edit(folder / "lab/yours/loss.py")
        assert digest("lab.mine.loss") == before
        edit(folder / "lab/mine/table.csv")
        assert digest("lab.mine.loss") != before


def test_it_is_the_same_in_a_process_that_has_imported_other_things():
    files = {"mine.py": "import helper, fake\ndef build():\n    import numpy, lazy", "helper.py": "", "lazy.py": ""}
    programs = [
        "",
        "import helper, mine, numpy, json",
        "import sys, types; sys.modules['lazy'] = types.ModuleType('lazy'); sys.modules['fake'] = None",
    ]
    with written(files | {"fake.py": ""}) as folder:
        ends = "from faceexp.registry.code import code_digest; print(code_digest('mine', 'none'))"
        digests = {
            subprocess.run(
                [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}\n{ends}"],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout.strip()
            for program in programs
        }
        assert digests == {digest()}


def test_an_editable_installation_is_found_by_its_finder(monkeypatch, tmp_path):
    """Some tools install a finder that knows where a module lies, instead of a folder to search in."""
    for folder, text in (("first", "import helper_of_mine"), ("second", "")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{'mine' if text else 'helper_of_mine'}.py").write_text(text)

    class Finder:
        @staticmethod
        def find_spec(name, path, target=None):
            folder = {"mine": "first", "helper_of_mine": "second"}.get(name)
            return PathFinder.find_spec(name, [str(tmp_path / folder)]) if folder else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    before = digest()
    assert before != "unknown"
    edit(tmp_path / "second/helper_of_mine.py")
    assert digest() != before


def test_a_plugin_in_an_archive_counts_as_that_archive(tmp_path, monkeypatch):
    import zipfile

    def pack(text):
        with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
            archive.writestr("mine.py", text)

    pack("")
    monkeypatch.syspath_prepend(tmp_path / "plugins.zip")
    before = digest()
    assert before != "unknown"
    pack("# edited")
    assert digest() != before


# Installed distributions


def install(folder: Path, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> None:
    """Write what pip leaves behind: files, metadata, and a record of the files."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    (metadata / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, "", "A text.", "Requires-Dist: no"]))
    (metadata / "direct_url.json").write_text(f'{{"url": "{folder}"}}')
    recorded = [*files, *(f"{metadata.name}/{each}" for each in ("METADATA", "direct_url.json", "RECORD"))]
    (metadata / "RECORD").write_text("".join(f"{path},sha256=x,1\n" for path in recorded))


def test_all_files_of_the_distribution_count_but_none_that_names_a_place(tmp_path, monkeypatch):
    files = {"mine.py": "", "mine_data/table.csv": "1"}
    places = {"mine.pth": "/home", "../bin/mine": "#!/home/python", "__editable___mine_finder.py": "'/home'"}
    install(tmp_path / "lib", "dist-of-mine", "1.0", files | places | {"mine_data/a.pyc": ""})
    monkeypatch.syspath_prepend(tmp_path / "lib")
    before = code_digest("mine", "dist-of-mine")
    for place in [*places, "mine_data/a.pyc", "dist_of_mine-1.0.dist-info/direct_url.json"]:
        edit(tmp_path / "lib" / place)
    assert code_digest("mine", "dist-of-mine") == before
    edit(tmp_path / "lib/mine_data/table.csv")
    assert code_digest("mine", "dist-of-mine") != before


def digest_beside(folder: Path, monkeypatch, version: str, name: str = "library", **options) -> str:
    """Return the digest of a plugin beside an installed library of a version."""
    site = folder / f"{name}-{version}"
    install(site, name, version, {f"{name}_module/__init__.py": f"# {version}"}, **options)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(site)
        return code_digest("mine", "dist-of-mine")


def test_an_installed_library_that_is_imported_counts_by_its_version(tmp_path, monkeypatch):
    install(tmp_path / "lib", "dist-of-mine", "1.0", {"mine.py": "def build():\n    import library_module"})
    monkeypatch.syspath_prepend(tmp_path / "lib")
    one, two = (digest_beside(tmp_path, monkeypatch, version) for version in ("1.0", "2.0"))
    assert len({code_digest("mine", "dist-of-mine"), one, two}) == 3
    before = digest_beside(tmp_path / "again", monkeypatch, "1.0")
    assert before == one


@pytest.mark.parametrize(
    ("requirement", "counts"),
    [
        ("library>=1", True),
        ("Library", True),
        ("middle", True),
        ("middle[extra]; python_version >= '3'", True),
        ("library; extra == 'more'", False),
        ("library; sys_platform == 'nowhere'", False),
        ("faceexp>=0.1,<0.2", False),
        ("not a requirement!", False),
    ],
)
def test_a_library_that_is_required_counts_by_its_version(tmp_path, monkeypatch, requirement, counts):
    install(tmp_path / "lib", "dist-of-mine", "1.0", {"mine.py": ""}, requires=(requirement,))
    install(tmp_path / "lib", "middle", "1.0", {}, requires=("library", "dist-of-mine"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    one, two = (digest_beside(tmp_path, monkeypatch, version) for version in ("1.0", "2.0"))
    assert (one != two) == counts


def test_other_plugins_do_not_matter(tmp_path, monkeypatch):
    install(tmp_path / "lib", "dist-of-mine", "1.0", {"mine.py": "import library_module"})
    monkeypatch.syspath_prepend(tmp_path / "lib")
    before = code_digest("mine", "dist-of-mine")
    install(tmp_path / "lib", "other-plugin", "1.0", {"other.py": "import mine"})
    assert code_digest("mine", "dist-of-mine") == before


def test_what_is_installed_as_a_module_and_what_is_a_clone_of_it_are_the_same_code(tmp_path, monkeypatch):
    install(tmp_path / "lib", "dist-of-mine", "1.0", {"mine.py": "x = 1"})
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path / "lib")
        installed = code_digest("mine", "dist-of-mine")
    with written({"mine.py": "x = 1"}):
        assert digest() == installed
