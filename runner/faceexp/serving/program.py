"""The program in an exported folder, which compares two photos without faceexp.

Photos have to be prepared there exactly as in training. So the program holds the very functions that prepare them here,
as their source text: whatever changes in them changes in every folder that is exported from then on.
"""

from __future__ import annotations

import ast
import importlib.resources
import inspect
import sys
from types import ModuleType

from faceexp import files, quiet
from faceexp.contract import DetectorPlugin, detectors
from faceexp.data import detection, images
from faceexp.errors import InputError, Problem

# What the program begins with: it turns a file into pixels.
NEEDED = "decode"
MARK = "# PREPARATION\n"
IMPORTS = "# IMPORTS\n"
DETECTOR = "DETECTOR = None\n"


def program(detector: type[DetectorPlugin] | None = None) -> str:
    """Return the text of the program.

    Args:
        detector: What finds the faces of photos. The program holds what its module defines and it uses.

    Raises:
        InputError: Its module defines a name that the program needs for something else.
    """
    template = importlib.resources.files("faceexp.serving").joinpath("templates", "compare.py.txt").read_text("utf-8")
    # The modules whose functions may be needed, so that what is used comes before what uses it.
    carried = [sys.modules[detector.__module__]] if detector else []
    ours = (files, quiet, detectors, detection, images)
    modules = (files, quiet, detectors, *carried, detection, images)
    # The program has some of its own, since those of faceexp need more of faceexp.
    of_template = {name for _, defined, _ in _of_source(template, set()) for name in defined}
    taken = of_template.union(*(_defined(module) for module in ours))
    if clash := sorted(name for module in carried for name in _defined(module) & taken):
        message = (
            f"{carried[0].__name__} calls something {clash[0]!r}, as the program in the folder does; rename it there"
        )
        raise InputError(Problem(message))
    imports, preparation = _preparation(modules, [NEEDED, *([detector.__name__] if detector else [])], of_template)
    missing = "".join(f"{line}\n" for line in sorted(imports - set(_imported(template).values())))
    if detector:
        template = template.replace(DETECTOR, f"DETECTOR = {detector.__name__}\n")
    return template.replace(IMPORTS, missing).replace(MARK, preparation)


def _defined(module: ModuleType) -> set[str]:
    return {name for _, defined, _ in _of_source(inspect.getsource(module), set()) for name in defined}


def _preparation(modules: tuple[ModuleType, ...], needed: list[str], replaced: set[str]) -> tuple[set[str], str]:
    """Return the source of everything at the top of some modules that is needed, and what it imports."""
    sources = [inspect.getsource(module) for module in modules]
    aliases = {module.__name__.rpartition(".")[2] for module in modules}
    statements = enumerate(statement for source in sources for statement in _of_source(source, aliases))
    definitions = {name: (place, text, used) for place, (text, defined, used) in statements for name in defined}
    wanted, chosen, used = list(needed), dict[int, str](), set[str]()
    while wanted:
        place, text, names = definitions.get(wanted.pop(), (-1, "", set()))
        if place >= 0 and place not in chosen:
            chosen[place] = text
            used |= names - replaced
            wanted += names - replaced
    importable = {name: line for source in sources for name, line in _imported(source).items()}
    lines = {line for name, line in importable.items() if name in used}
    return lines, "\n\n\n".join(chosen[place] for place in sorted(chosen))


def _imported(source: str) -> dict[str, str]:
    """Return what a source imports from elsewhere than faceexp: its line, by the name that it gives."""
    lines = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            for each in node.names:
                lines[each.asname or each.name] = ast.unparse(ast.Import([each]))
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] != __name__.partition(".")[0]:
            for each in node.names:
                lines[each.asname or each.name] = ast.unparse(ast.ImportFrom(node.module, [each], 0))
    return lines


def _of_source(source: str, aliases: set[str]) -> list[tuple[str, set[str], set[str]]]:
    """Return each statement at the top of a source: its text, which names it defines, and which it uses.

    Args:
        source: Of a module.
        aliases: Names of modules: ``detection.cut`` uses ``cut``, since in the program all modules are one.
    """
    statements: list[tuple[str, set[str], set[str]]] = []
    lines = source.splitlines()
    for node in ast.parse(source).body:
        defined: set[str] = set()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined = {node.name}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined = {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}
        if not defined:
            continue
        used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        used |= {
            inner.attr
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id in aliases
        }
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        # What a comment right above says belongs to it.
        while first and lines[first - 1].startswith("#"):
            first -= 1
        statements.append(("\n".join(lines[first : node.end_lineno]), defined, used))
    return statements
