"""Why a plugin cannot be used, in words and with the line of its code; and what else its author should know of it."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import pkgutil
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, PydanticUserError

from faceexp.contract import GROUPS, Plugin
from faceexp.errors import did_you_mean
from faceexp.registry.guard import PluginFaultError
from faceexp.registry.metadata import groups_with, offers

# How alike two names are, from 0 to 1, if one is taken for the other mistyped: `need` and `needs` are 0.89 alike.
ALIKE = 0.8
# What to do where an entry point names something that does not exist.
CORRECT = "correct the entry point in its pyproject.toml and install it again,"
# Seconds from which on it is told that importing a plugin takes long: whoever lists plugins waits for each new one.
SLOW = 3.0
# Libraries that take about as long on most machines, and that a plugin needs only when something is computed.
HEAVY = frozenset({"tensorflow", "keras", "torch"})


def name_in(module: str, module_file: Path | None, file: Path) -> str:
    """Return the name of a file of a plugin, with the folder of its package; nothing if it belongs to none of it.

    Args:
        module: The module of the plugin.
        module_file: That module's file.
        file: A file that may belong to the plugin.
    """
    if module_file is None:
        return ""
    if "." not in module and module_file.name != "__init__.py":
        return file.name if file == module_file else ""
    return f"{file.parent.name}/{file.name}" if file.is_relative_to(module_file.parent) else ""


def place_in(module: str, module_file: Path | None, error: BaseException) -> str:
    """Return ``; file:line`` of the innermost code of a plugin that an error came from, if it came from any."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))  # the line was never run
    for file, line in reversed(lines):
        if name := name_in(module, module_file, Path(file)):
            return f"; {name}:{line}"
    return ""


def reason_of(fault: PluginFaultError, module: str, module_file: Path | None) -> tuple[str, str]:
    """Return why a plugin's code has failed, with its line, and what to do; nothing where the reason says that."""
    error = fault.__cause__ or fault
    place = place_in(module, module_file, error)
    mend = "mend it there" if place else "reinstall"
    if isinstance(error, SyntaxError) and place:
        return f"{type(error).__name__}: {error.msg}{place}", mend
    if isinstance(error, ModuleNotFoundError) and error.name:
        is_its_own = f"{module}.".startswith(f"{error.name}.") and not place
        if is_its_own and (hint := _other_module(error.name, module)):
            return f"its entry point names the module {error.name!r}, which does not exist ({hint})", CORRECT
        package = error.name.partition(".")[0]
        if package != module.partition(".")[0] and not _can_be_found(package):
            return f"it imports {package!r}, which is not installed: pip install {package}{place}", ""
    is_untyped = isinstance(error, PydanticUserError) and error.code == "model-field-missing-annotation"
    if is_untyped and (untyped := re.search(r"[`'](\w+)", str(error))):
        name = untyped[1]
        reason = (
            f"{name!r} has no type: write `{name}: ClassVar[...] = ...` for what the plugin says of itself, "
            f"`{name}: float = option(...)` for an option{place}"
        )
        return reason, mend
    return f"{fault}{place}", mend


def _can_be_found(package: str) -> bool:
    with suppress(ImportError, ValueError):
        return package in sys.modules or importlib.util.find_spec(package) is not None
    return False


def _other_module(module: str, whole: str) -> str:
    """Return which module was probably meant by one that does not exist; nothing where none is much like it.

    Names of plugins begin alike, so modules of plugins that other distributions offer are not meant.

    Args:
        module: The module that does not exist.
        whole: The module that the entry point names: the same, or one below it.
    """
    package = module.rpartition(".")[0]
    folders = getattr(sys.modules.get(package), "__path__", ()) if package else None
    offered = [(offer.target.partition(":")[0].strip(), offer.distribution) for offer in offers(GROUPS.values())]
    owners = {owner for name, owner in offered if name == whole}
    prefix = f"{package}." if package else ""
    modules = {each.name for each in pkgutil.iter_modules(folders, prefix)}
    modules -= {name for name, owner in offered if owner not in owners}
    near = difflib.get_close_matches(module, modules, cutoff=ALIKE)
    return did_you_mean(module, near) if near else ""


def how_to_install(kind: str, name: str) -> str:
    """Return what to do for a plugin that nobody offers, or that is offered as something else."""
    misplaced = [(group, owner) for group, owner in groups_with(name) if group != GROUPS[kind]]
    if misplaced:
        group, owner = misplaced[0]
        return f"{owner} offers that name in the group {group!r} of entry points; a {kind} belongs to {GROUPS[kind]!r}"
    return (
        "install its package with `pip install -e FOLDER`; the pyproject.toml there has to name it below "
        f'[project.entry-points."{GROUPS[kind]}"]; `faceexp list-plugins {kind}` shows what there is'
    )


def lacks_attribute(module: ModuleType, attribute: str, bases: tuple[type[Plugin], ...]) -> str:
    """Return what is wrong with an entry point whose class is not in the module."""
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, bases)]
    hint = did_you_mean(attribute, [each.__name__ for each in classes if each.__module__ == module.__name__])
    return f"its entry point names {attribute!r}, which {module.__name__} does not have{f' ({hint})' if hint else ''}"


def mistyped(cls: type[Plugin], base: type[Plugin]) -> Iterator[str]:
    """Yield a sentence about each attribute of a plugin that is nearly one of the contract, so that nobody reads it.

    Options are left out: their names are the author's choice, and a wrong one shows in the first experiment.
    """
    known = {name for each in base.__mro__ if issubclass(each, Plugin) for name in _names(each)}
    own = [each for each in cls.__mro__ if issubclass(each, Plugin) and each not in base.__mro__]
    others = {name for each in own for name in _names(each)}
    for name in sorted(others - known - cls.model_fields.keys() - set(dir(BaseModel))):
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=ALIKE)
        if near:
            yield f"has an attribute {name!r} that nobody reads; {did_you_mean(near[0], near)}"


def _names(cls: type[Plugin]) -> set[str]:
    return {name for name in (*vars(cls), *inspect.get_annotations(cls)) if not name.startswith("_")}


def slowness(module: str, modules_before: AbstractSet[str], seconds: float) -> str:
    """Return why importing a plugin takes long; nothing where it does not.

    Args:
        module: The module of the plugin.
        modules_before: What was imported before.
        seconds: How long it took to import the plugin.
    """
    new = (name.partition(".")[0] for name in sys.modules.keys() - modules_before)
    modules = Counter(package for package in new if package not in sys.stdlib_module_names)
    if seconds < SLOW and not HEAVY & modules.keys():
        return ""
    brought = [f"{package} ({count:,} modules)" for package, count in modules.most_common(3) if package != module]
    cause = f"it imports {', '.join(brought)}; import them inside build" if brought else "its own code does it"
    return f"takes {seconds:.0f} seconds to import: {cause}"
