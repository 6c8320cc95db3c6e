"""Write pyproject.toml and README.md of every shipped plugin anew from the template for new plugins.

``python tools/sync_plugins.py`` keeps what is each package's own: description, dependencies beside faceexp, and entry
points. The version, and the faceexp that a plugin requires, are those of the core. With ``--version 0.2.0`` the core
gets this version first, and so do all plugins.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

from faceexp.contract import GROUPS
from faceexp.registry.scaffold import Package, core_requirement, project_files

ROOT = Path(__file__).parents[1]


def plugin_folders(root: Path) -> list[Path]:
    """Return the folders of all shipped plugins."""
    return sorted(path.parent for path in root.glob("plugins/*/*/pyproject.toml"))


def package_in(folder: Path, version: str) -> Package:
    """Return the package of a plugin's folder, with the core's version in place of its own."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (kind,) = [kind for kind, group in GROUPS.items() if group == f"faceexp.{folder.parent.name}"]
    return Package(
        kind=kind,
        name=folder.name,
        version=version,
        core=core_requirement(version),
        description=project["description"],
        entries=project["entry-points"][GROUPS[kind]],
        dependencies=[other for other in project["dependencies"] if not re.match(r"faceexp\b(?!-)", other)],
    )


def set_version(root: Path, version: str) -> None:
    """Write the version into the core's pyproject.toml and into the citation."""
    # The first line of this form in pyproject.toml is that of [project]; tables of tools come later.
    lines = {
        "pyproject.toml": (r'^version = "[^"]*"$', f'version = "{version}"'),
        "CITATION.cff": (r"^version: .*$", f"version: {version}"),
    }
    for name, (pattern, line) in lines.items():
        text = (root / name).read_text(encoding="utf-8")
        changed, count = re.subn(pattern, line, text, count=1, flags=re.MULTILINE)
        if not count:
            raise SystemExit(f"{root / name} has no line for the version")
        (root / name).write_text(changed, encoding="utf-8")


def sync(root: Path) -> list[Path]:
    """Write the files of every plugin, and return those that had another content."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changed = []
    for folder in plugin_folders(root):
        for name, text in project_files(package_in(folder, version)).items():
            file = folder / name
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")
                changed.append(file)
    return changed


def main() -> None:
    """Do what the command line says, and print which files of plugins changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", help="set this version everywhere, for instance 0.2.0")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project's folder; the one around this script")
    arguments = parser.parse_args()
    if arguments.version is not None:
        if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", arguments.version):
            parser.error(f"{arguments.version!r} is no version; give three numbers, such as 0.2.0")
        set_version(arguments.root, arguments.version)
    for file in sync(arguments.root):
        print(file.relative_to(arguments.root))


if __name__ == "__main__":
    main()
