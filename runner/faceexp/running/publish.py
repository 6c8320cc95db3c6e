"""A run as a folder that another site can check: what was asked, what came out, and checksums, but no paths of here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tomli_w

from faceexp.errors import InputError, Problem
from faceexp.experiment import toml
from faceexp.experiment.schema import OF_A_SITE
from faceexp.files import parse_json, read_input
from faceexp.results.folder import MAX_RESULTS_BYTES, RunFolder
from faceexp.results.jsonable import to_json
from faceexp.results.schema import EnvironmentRecord, RunRecord
from faceexp.run import Run, open_run
from faceexp.running.checksums import write_checksums
from faceexp.running.merge import DECIDING
from faceexp.running.placeholders import Placeholder, Private, placeholders, without_paths
from faceexp.serving.card import size_of, written
from faceexp.serving.export import export_model
from faceexp.serving.find import find
from faceexp.store import write_bytes, write_text
from faceexp.store.new_folder import in_the_way, new_folder

# Which models are published: that which `faceexp verify` would use, or none.
Models = Literal["best", "none"]
# The endings of files that may tell where something lay. The pages are drawn when nothing here tells it any more.
TEXTS = (".json", ".md", ".toml", ".txt")


@dataclass(frozen=True)
class Published:
    """A folder that was written.

    Attributes:
        folder: Its path.
        files: How many files it holds.
        size: Their bytes.
        to_fill_in: The paths of the data and other files, which another site has to give.
        pictures: How many pictures of people are in it.
        model: The loss of the model that is in it; empty where there is none.
    """

    folder: Path
    files: int
    size: int
    to_fill_in: tuple[Placeholder, ...]
    pictures: int
    model: str = ""


def publish(run: str | Path, folder: str | Path, *, pictures: bool = False, models: Models = "none") -> Published:
    """Write a run into a new folder that others can check. If that fails, nothing is left behind.

    Args:
        run: The folder of a finished run.
        folder: The folder to write. It has to be new or empty.
        pictures: Whether pictures of people are passed on, as files and in the pages.
        models: Which models are passed on.

    Raises:
        InputError: There is no such run, a file of it is lost or damaged, it has no model, or the folder is not empty.
    """
    finished = open_run(run)
    source, results = RunFolder(finished.folder), finished.results
    problems = [*in_the_way(folder), *_lost(source, results)]
    if problems:
        raise InputError(problems)
    model = find(str(source.root)) if models == "best" else None
    to_fill_in = placeholders(toml.read(source.trained_with).without(OF_A_SITE).data)
    specs = [file for file in (source.spec, source.tuned) if file.is_file()]
    private = Private.of([each for file in specs for each in placeholders(toml.read(file).data)])
    images = source.pictures() if pictures else {}
    with new_folder(folder, source.results.name) as root:
        made = RunFolder(root)
        for file in (*specs, source.results, source.environment, *(source.trial(each.id) for each in results.trials)):
            copy = made.root / file.relative_to(source.root)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
        for image, content in images.items():
            write_bytes(made.picture(image), content)
        if model:
            model_folder = made.model(model.root.resolve().name).root
            model_folder.parent.mkdir()
            # A network that a plugin opens is copied as it is.
            export_model(model.root, model_folder, () if model.read().trunk else ("keras",))
        _make_anonymous(made, private)
        public = Run(made.root, made.read_results())
        # The pages of the run show people; these are drawn again from what is here.
        public.write_pages()
        environment = made.read_environment()
        write_text(made.requirements, requirements(environment))
        values = {
            "results": public.results,
            "rows": list(dict.fromkeys(trial.label for trial in results.trials)),
            "environment": environment,
            "plugin": toml.read(made.trained_with).data["dataset"]["plugin"],
            "to_fill_in": to_fill_in,
            "pictures": len(images),
            "model": model_folder.name if model else "",
            "searched": made.tuned.is_file(),
        }
        write_text(made.readme, written("RUN.md", values))
        if told := list(_telling(made.root, private)):
            raise InputError(told)
        write_checksums(made.checksums)
        files = [path for path in made.root.rglob("*") if path.is_file()]
        size, label = size_of(made.root), model.read().label if model else ""
    return Published(Path(folder), len(files), size, tuple(to_fill_in), len(images), label)


def requirements(environment: EnvironmentRecord) -> str:
    """Return what pip installs for the same numbers: the packages that decide them, and the plugins of the run."""
    versions = {name: environment.packages[name] for name in DECIDING if name in environment.packages}
    versions |= {plugin.distribution: plugin.version for plugin in environment.plugins if plugin.distribution}
    lines = [f"{name}=={version}\n" for name, version in versions.items()]
    return "".join([f"# Python {environment.python}\n", *lines])


def _lost(source: RunFolder, results: RunRecord) -> Iterator[Problem]:
    """Yield a problem for each file that a published run needs and that cannot be read."""
    damaged: list[Problem] = []
    trials = source.read_trials([trial.id for trial in results.trials], damaged)
    source.read_environment(damaged)
    yield from damaged
    told = {problem.where for problem in damaged}
    lost = [source.trial(trial.id) for trial in results.trials if trial.id not in trials]
    for file in (*lost, source.environment):
        if str(file) not in told and not file.is_file():
            yield Problem("is lost; run the experiment again, which trains nothing anew", str(file))


def _make_anonymous(made: RunFolder, private: Private) -> None:
    """Take the paths of this machine out of every file of a folder, and what says where a site computes and records."""
    for file in (path for path in made.root.rglob("*") if path.suffix in TEXTS):
        content = read_input(file, MAX_RESULTS_BYTES)
        if file.suffix == ".json":
            write_text(file, to_json(private.without(parse_json(content))))
        elif file.suffix == ".toml":
            write_text(file, tomli_w.dumps(private.without(without_paths(toml.read(file).without(OF_A_SITE).data))))
        else:
            write_text(file, private.without(content.decode()))


def _telling(root: Path, private: Private) -> Iterator[Problem]:
    """Yield a problem for every file that still tells where something lay on this machine."""
    for file in sorted(path for path in root.rglob("*") if path.suffix in TEXTS):
        if private.is_in(read_input(file, MAX_RESULTS_BYTES).decode()):
            message = "would hold a path of this machine, so nothing was published"
            yield Problem(message, file.relative_to(root).as_posix())
