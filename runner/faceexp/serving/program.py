"""The program in an exported folder, which compares two photos without faceexp.

Photos have to be prepared there exactly as in training. So the program holds the very functions that prepare them here,
as their source text: whatever changes in them changes in every folder that is exported from then on.
"""

from __future__ import annotations

import ast
import importlib.resources
import inspect
from types import ModuleType

from faceexp import files
from faceexp.data import detection, images

# The modules whose functions may be needed, so that what is used comes before what uses it.
MODULES: tuple[ModuleType, ...] = (files, detection, images)
# What the program begins with: it turns a file into pixels.
NEEDED = "decode"
# The program has these of its own, since those of faceexp need more of faceexp.
REPLACED = {"_opencv"}
MARK = "# PREPARATION\n"
IMPORTS = "# IMPORTS\n"


def program() -> str:
    """Return the text of the program."""
    template = importlib.resources.files("faceexp.serving").joinpath("templates", "compare.py.txt").read_text("utf-8")
    imports, preparation = _preparation()
    missing = "".join(f"{line}\n" for line in sorted(imports - set(_imported(template).values())))
    return template.replace(IMPORTS, missing).replace(MARK, preparation)


def _preparation() -> tuple[set[str], str]:
    """Return the source of everything at the top of :data:`MODULES` that :data:`NEEDED` uses, and what it imports."""
    definitions = {name: (place, text, names) for place, text, defined, names in _statements() for name in defined}
    wanted, chosen, used = [NEEDED], dict[int, str](), set[str]()
    while wanted:
        place, text, names = definitions.get(wanted.pop(), (-1, "", set()))
        if place >= 0 and place not in chosen:
            chosen[place] = text
            used |= names - REPLACED
            wanted += names - REPLACED
    importable = {name: line for module in MODULES for name, line in _imported(inspect.getsource(module)).items()}
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


def _statements() -> list[tuple[int, str, set[str], set[str]]]:
    """Return each statement at the top of the modules: its place, its text, which names it defines, and which it uses.

    ``detection.crop`` uses ``crop``: in the program, all modules are one.
    """
    aliases = {module.__name__.rpartition(".")[2] for module in MODULES}
    statements: list[tuple[int, str, set[str], set[str]]] = []
    for module in MODULES:
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            defined: set[str] = set()
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined = {node.name}
            elif isinstance(node, ast.Assign):
                defined = {target.id for target in node.targets if isinstance(target, ast.Name)}
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
            statements.append((len(statements), "\n".join(lines[first : node.end_lineno]), defined, used))
    return statements
