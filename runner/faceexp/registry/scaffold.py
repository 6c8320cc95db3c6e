"""New plugins from templates: a package that installs, and passes the tests of its kind, as it stands."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from faceexp.contract import GROUPS, RESERVED
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.registry.installed import discover


def new_plugin(kind: str, name: str, out: Path) -> Path:
    """Write the package of a new plugin into a folder of its name, and return that folder.

    Args:
        kind: ``"loss"``, ``"model"``, ``"dataset"`` or ``"sampler"``.
        name: As experiment files will name it.
        out: The folder around it.

    Raises:
        InputError: The kind or the name will not do, or something is in the way; nothing is written.
    """
    folder = out / name
    problems = _problems(kind, name, folder)
    if problems:
        raise InputError(problems)

    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("faceexp.registry"),
        autoescape=False,  # noqa: S701 - it writes Python, not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    words = name.split("_")
    module = f"faceexp_{kind}_{name}"
    values = {
        "kind": kind,
        "name": name,
        "group": GROUPS[kind],
        "module": module,
        "distribution": module.replace("_", "-"),
        "class": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
        "suite": f"{kind.capitalize()}Contract",
    }
    files = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        f"{module}.py": f"{kind}.py.j2",
        f"tests/test_{kind}_{name}.py": "test.py.j2",
    }
    try:
        for path, template in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            text = templates.get_template(template).render(values)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"nothing can be written there: {error.strerror}; name a folder of yours with --out"
        raise InputError(Problem(message, str(folder))) from error
    return folder


def _problems(kind: str, name: str, folder: Path) -> list[Problem]:
    if kind not in GROUPS:
        return [Problem(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, GROUPS)}")]
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        hint = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        better = f", {hint!r} for instance" if hint else ""
        return [Problem(f"{name!r} is no name for a plugin; take small letters, digits and single _{better}")]
    if keyword.iskeyword(name) or name in RESERVED:
        return [Problem(f"the name {name!r} has a meaning of its own; take {f'my_{name}'!r}, or another")]
    offers = [found for found in discover().plugins if (found.kind, found.name) == (kind, name)]
    problems = [Problem(f"{found} is installed already; take another name") for found in offers]
    if folder.exists():
        problems.append(Problem("is there already; take another name, or another folder with --out", str(folder)))
    return problems
