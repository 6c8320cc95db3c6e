"""Everything a change has to pass: ``nox`` runs the tests of the core and of the plugins, lint and types.

Other sessions take longer or are wanted less often: ``nox -s coverage`` counts the lines that tests reach, ``nox -s
docs`` builds the documentation, ``nox -s build`` makes and tries the packages, ``nox -s minimums`` tests the oldest
dependencies allowed, ``nox -s hardening`` does harm to whole runs, ``nox -s bench`` measures speed, ``nox -s simulate``
counts false claims in thousands of made studies.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
# Where the README's first command has installed faceexp beside nox, sessions use that environment: a second
# TensorFlow would take minutes and show nothing new. Elsewhere each session gets an environment of its own.
INSTALLED = importlib.util.find_spec("faceexp") is not None

# The tools that build the packages are installed once, and every build uses them (--no-build-isolation): an environment
# of its own for each of the packages would take a minute and a half.
BUILD_TOOLS = nox.project.dependency_groups(PROJECT, "build")
NO_ISOLATION = "--no-build-isolation"

nox.options.sessions = ["tests", "plugin-tests", "lint", "types"]
nox.options.default_venv_backend = "none" if INSTALLED else "virtualenv"
nox.options.reuse_existing_virtualenvs = True


def _need(session: nox.Session, *groups: str) -> None:
    """Install the tools of these dependency groups, and the project where it is not there yet."""
    tools = [tool for group in groups for tool in nox.project.dependency_groups(PROJECT, group)]
    if INSTALLED:
        session.run(sys.executable, "-m", "pip", "install", "--quiet", *tools)
    else:
        session.install(*BUILD_TOOLS)
        session.install(NO_ISOLATION, "--requirement", "requirements.txt", *tools)


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable if INSTALLED else "python", *arguments)


def _plugins() -> list[Path]:
    return sorted(path.parent for path in Path("plugins").glob("*/*/pyproject.toml"))


# Each process starts a TensorFlow of its own: more of them than four would take memory and give little.
# All tests of a file run in one process, so that what they share is made once.
PROCESSES = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of the core."""
    _need(session, "test")
    _python(session, "-m", "pytest", *(session.posargs or [*PROCESSES, "tests"]))


@nox.session(name="plugin-tests")
def plugin_tests(session: nox.Session) -> None:
    """Run the tests of the plugins."""
    _need(session, "test")
    _python(session, "-m", "pytest", *(session.posargs or [*PROCESSES, "plugins"]))


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests of the core and count the lines and branches that they reach, which takes a third longer."""
    _need(session, "test")
    arguments = session.posargs or [*PROCESSES, "tests", "--cov", "--cov-report=term"]
    _python(session, "-m", "pytest", *arguments)


@nox.session
def hardening(session: nox.Session) -> None:
    """Check at length that nothing is silently wrong, nothing is lost, and nothing from outside does harm."""
    _need(session, "test")
    session.env["FACEEXP_HARDENING"] = "full"
    places = ["tests/hardening", "tests/experiment/test_mutations.py"]
    _python(session, "-m", "pytest", *(session.posargs or ["--numprocesses=2", "--durations=20", *places]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    _need(session, "lint")
    _python(session, "-m", "ruff", "check", ".")
    _python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly in the core, the plugins and the tools; tests and benchmarks need no annotations."""
    _need(session, "test", "lint")
    # A plugin is one module, which cannot say that it has types; from here mypy reads it where a test imports it.
    session.env["MYPYPATH"] = os.pathsep.join(map(str, _plugins()))
    parts = ("*/*/faceexp_*.py", "*/*/tests/*.py", "*/conftest.py")
    of_plugins = sorted(str(path) for part in parts for path in Path("plugins").glob(part))
    _python(session, "-m", "mypy", "runner", "tools", "tests", "benchmarks", "conftest.py", *of_plugins)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into build/site; ``nox -s docs -- serve`` shows it while you write."""
    _need(session, "docs")
    session.env["NO_MKDOCS_2_WARNING"] = "1"  # the theme's advertisement of its successor, at each build
    _python(session, "-m", "mkdocs", *(session.posargs or ["build", "--strict"]))


# The next two need an environment without faceexp to begin with, wherever nox itself is installed.


@nox.session(venv_backend="virtualenv", reuse_venv=False)
def build(session: nox.Session) -> None:
    """Make the packages of the core and of every plugin in dist/, and use them where nothing else is."""
    session.env["PYTHONPATH"] = None
    session.install(*BUILD_TOOLS)
    dist = Path("dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    folders = [Path(), *_plugins()]
    for folder in folders:
        # First an archive of the sources, then the wheel from that archive: so both are complete.
        session.run("python", "-m", "build", "--no-isolation", f"--outdir={dist}", str(folder), silent=True)
    wheels = sorted(dist.glob("*.whl"))
    archives = sorted(dist.glob("*.tar.gz"))
    if not len(wheels) == len(archives) == len(folders):
        session.error(f"{len(folders)} packages, but {len(wheels)} wheels and {len(archives)} archives")

    # In the session's own environment there are the build tools alone, and no link to the sources.
    core = next(path for path in wheels if path.name.startswith("faceexp-"))
    session.install(f"{core}[all]", *(str(path) for path in wheels if path != core))
    place = Path(session.create_tmp())
    shutil.copy("experiments/smoke.toml", place)
    session.chdir(place)
    session.env["FACEEXP_STORE"] = "store"
    _check_plugins(session, session.run("faceexp", "list-plugins", "--json", silent=True), len(folders) - 1)
    session.run("faceexp", "run", "smoke.toml", "--out=runs")
    # A plugin is made from templates, which are files of the core's wheel, too.
    session.run("faceexp", "new-plugin", "loss", "packaged", "--out=made", silent=True)


def _check_plugins(session: nox.Session, answer: object, packages: int) -> None:
    """Fail if a plugin is broken, or if a package has none."""
    plugins = [plugin for entries in json.loads(str(answer)).values() for plugin in entries]
    broken = [f"{plugin['name']}: {plugin['error']}" for plugin in plugins if "error" in plugin]
    if broken:
        session.error("broken plugins:\n" + "\n".join(broken))
    if len({plugin["distribution"] for plugin in plugins}) != packages:
        session.error(f"{packages} packages of plugins are installed, but not each has a plugin")
    session.log(f"{len(plugins)} plugins of {packages} packages, none broken")


@nox.session(venv_backend="virtualenv", reuse_venv=False, python="3.11")
def minimums(session: nox.Session) -> None:
    """Run the tests on the oldest versions that pyproject.toml allows, on the oldest Python."""
    session.env["PYTHONPATH"] = None
    session.install("uv", *BUILD_TOOLS)
    tools = nox.project.dependency_groups(PROJECT, "test")
    # uv alone can ask for the lowest version of what is named here, and for the newest of what that needs in turn.
    session.run(
        *("uv", "pip", "install", "--resolution=lowest-direct", NO_ISOLATION),
        *("--requirement", "requirements.txt", *tools),
    )
    session.run("uv", "pip", "list", "--exclude-editable")
    chosen = session.posargs or ["--numprocesses=auto", "--maxprocesses=4"]
    session.run("python", "-m", "pytest", *chosen)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed; prints ratios within one run."""
    _need(session, "test")
    for path in sorted(Path("benchmarks").glob("*.py")):
        _python(session, str(path))


@nox.session
def simulate(session: nox.Session) -> None:
    """Fail if more than 5 % of made studies claim what is not there; takes about an hour.

    ``nox -s simulate -- --world drawn --losses 5`` is a short form of a few minutes.
    """
    _need(session, "test")
    _python(session, "benchmarks/simulations/claims.py", "--check", *session.posargs)
    if not session.posargs:
        _python(session, "benchmarks/simulations/until.py", "--check")


@nox.session(name="sync-plugins")
def sync_plugins(session: nox.Session) -> None:
    """Write pyproject.toml and README.md of every shipped plugin anew from the template for new plugins."""
    _need(session, "test")
    _python(session, "tools/sync_plugins.py")


@nox.session
def bump(session: nox.Session) -> None:
    """Set the version of the core, of every plugin, and of the core that they require: ``nox -s bump -- 0.2.0``."""
    _need(session, "test")
    _python(session, "tools/sync_plugins.py", "--version", *session.posargs)
