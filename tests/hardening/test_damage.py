"""Files of a store and of a run that are damaged in any way change no number, and no command ends with a traceback."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

import faceexp
from faceexp.errors import InputError
from faceexp.store import MARK

# Ways to damage a file; each is given the path.
CONTENT = (b"", b"\x00" * 64, b"{}", b"[]", b"null", b"\xff\xfe rubbish \x93NUMPY")


def flip(file, chance):
    content = bytearray(file.read_bytes())
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    put(file, bytes(content))


def cut(file, chance):
    put(file, file.read_bytes()[: chance.randrange(file.stat().st_size or 1)])


def replace(file, chance):
    put(file, chance.choice(CONTENT))


def put_a_folder(file, chance):
    file.unlink()
    (file / "inside").mkdir(parents=True)


def put_a_link(file, chance):
    file.unlink()
    file.symlink_to(chance.choice(["/dev/zero", "nowhere", file.name, "/etc/hostname"]))


def put_a_pipe(file, chance):
    file.unlink()
    os.mkfifo(file)


def remove(file, chance):
    file.unlink()


def clear_away(place):
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


def put(file, content):
    """Write a new file in the place of one, which other folders may hold as well."""
    file.unlink()
    file.write_bytes(content)


DAMAGES = (flip, cut, replace, remove, put_a_folder, put_a_link, put_a_pipe)


def kinds_of_files(folder):
    """Return the files of a folder by what they are: those of one artefact or model are as those of another."""
    kinds: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and "locks" not in path.parts):
        inside = file.relative_to(folder)
        name = inside.name if not {"trials", "pictures"} & set(inside.parts) else inside.suffix
        kinds.setdefault((inside.parts[0], name), []).append(inside)
    return list(kinds.values())


def damages(folder, count, chance):
    """Yield a way to damage a file and the file: every way for every kind of file, before one comes again."""
    every = list(itertools.product(DAMAGES, kinds_of_files(folder)))
    chance.shuffle(every)
    for number in range(count):
        damage, files = every[number % len(every)]
        yield damage, chance.choice(files)


def test_a_damaged_store_gives_the_same_numbers(form, spec, undisturbed, numbers, chance, tmp_path, tell):
    """What is damaged is computed again; several files are damaged before each run, since each run takes a second."""
    expected, store = undisturbed(), tmp_path / "store"
    shutil.copytree(expected.store, store)
    together = 5
    every = list(damages(store, form.damages, chance("store")))
    for start in range(0, len(every), together):
        done = []
        for damage, inside in every[start : start + together]:
            # A run has put back what was damaged before; another damage of this run may have taken the place.
            if (store / inside).is_file() and not (store / inside).is_symlink():
                damage(store / inside, chance("store", start, inside))
                done.append((damage.__name__, str(inside)))
        runs = tmp_path / f"runs-{start}"
        try:
            faceexp.load(spec()).run(runs, store=store)
        except InputError as error:
            # What is in the way of the store's own mark is not removed, since nobody knows what it is.
            (problem,) = error.problems
            assert problem.where == str(store / MARK), done
            clear_away(store / MARK)
            faceexp.load(spec()).run(runs, store=store)
        assert numbers(runs) == expected.numbers, done
        shutil.rmtree(runs)
    tell("damages of a store", len(every))


@pytest.fixture
def questions(face_folder):
    """What is asked of a run, as words of the command line."""
    first, second = face_folder / "p00" / "0.png", face_folder / "p00" / "1.png"
    return {
        "report": lambda run: ("report", run),
        "report as JSON": lambda run: ("report", run, "--json"),
        "page": lambda run: ("report", run, "--html", run.parent / "page.html"),
        "power": lambda run: ("power", run, "--metric", "accuracy"),
        "compare": lambda run: ("compare", run, run, "--json"),
        "verify": lambda run: ("verify", run / "models" / "npairs-s0-f0", first, second),
        "verify with the best": lambda run: ("verify", run, first, second),
    }


def test_a_damaged_run_is_answered_for_as_before_or_refused_in_lines(
    form, undisturbed, questions, command, chance, tmp_path, tell
):
    whole = undisturbed().folder
    run = tmp_path / whole.name
    shutil.copytree(whole, run)
    before = {name: command(*words(run)) for name, words in questions.items()}
    assert all(code in (0, 1) for code, _, _ in before.values()), before
    refused = 0
    for number, (damage, inside) in enumerate(damages(whole, form.damages, chance("run"))):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        damage(run / inside, chance("run", number, inside))
        for name, words in questions.items():
            code, out, err = command(*words(run))
            told = f"{name} after {damage.__name__} of {inside}: exit code {code}\n{out}\n{err}"
            assert "Traceback" not in out + err, told
            if code == 2:
                refused += 1
                assert out == "" or "--json" in words(run), told
                assert 1 <= len(err.splitlines()) <= 10, told
            else:
                assert code == before[name][0], told
                names_no_model = name == "report" and inside.parts[0] == "models" and NO_MODEL in " ".join(out.split())
                assert out == before[name][1] or names_no_model or is_undetectable(damage, inside), told
    tell("damages of a run", form.damages)
    tell("questions that were refused", refused)


# What a report says of the model to use where the models cannot all be opened: `verify` says which is damaged.
NO_MODEL = "takes the best on validation people, and names it"


def is_undetectable(damage, inside):
    """Return whether nothing can tell the damage: people may do this to these files.

    A digit that they edit is another number; without the digests of photos, nothing is said of photos.
    """
    return (damage is flip and inside.suffix == ".json") or (damage is remove and inside.name == "seen_photos.bin")
