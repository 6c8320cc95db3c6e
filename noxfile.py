"""Everything a change has to pass: ``nox`` runs tests, lint and types; ``nox -s bench`` measures speed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
# Where the README's first command has installed faceexp beside nox, sessions use that environment: a second
# TensorFlow would take minutes and show nothing new. Elsewhere each session gets an environment of its own.
INSTALLED = importlib.util.find_spec("faceexp") is not None

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "none" if INSTALLED else "virtualenv"
nox.options.reuse_existing_virtualenvs = True


def _need(session: nox.Session, *groups: str) -> None:
    """Install the tools of these dependency groups, and the project where it is not there yet."""
    tools = [tool for group in groups for tool in nox.project.dependency_groups(PROJECT, group)]
    if INSTALLED:
        session.run(sys.executable, "-m", "pip", "install", "--quiet", *tools)
    else:
        session.install("-r", "requirements.txt", *tools)


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable if INSTALLED else "python", *arguments)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, the core's and the plugins', with branch coverage of the core."""
    _need(session, "test")
    # Each process starts a TensorFlow of its own: more of them than four would take memory and give little.
    chosen = session.posargs or ["--numprocesses=auto", "--maxprocesses=4", "--cov", "--cov-report=term"]
    _python(session, "-m", "pytest", *chosen)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    _need(session, "lint")
    _python(session, "-m", "ruff", "check", ".")
    _python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, of the core and of every plugin."""
    _need(session, "lint")
    modules = sorted(str(path) for path in Path("plugins").glob("*/*/faceexp_*.py"))
    _python(session, "-m", "mypy", "runner", *modules)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed; prints ratios within one run."""
    _need(session, "test")
    for path in sorted(Path("benchmarks").glob("*.py")):
        _python(session, str(path))


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
