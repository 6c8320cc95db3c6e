"""README and documentation: what they show exists. Every checker here is itself checked with a broken text."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import onnx
import pytest
import tomli_w
import typer
from onnx import TensorProto, helper

import faceexp
from faceexp import pipeline
from faceexp.cli import app
from faceexp.errors import InputError
from faceexp.experiment.protocol import PARTS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMANDS = typer.main.get_group(app).commands


def page_id(path):
    return path.relative_to(ROOT).as_posix()


def blocks(text, *languages):
    """Return the blocks of code in these languages; what a block includes from a file is read."""
    fenced = re.findall(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    codes = [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, name, code in fenced if name in languages]
    return [
        re.sub(r'^--8<-- "(.+)"$', lambda include: (ROOT / include[1]).read_text(), c, flags=re.MULTILINE)
        for c in codes
    ]


def prose(text):
    """Return a page without its blocks of code."""
    return re.sub(r"^( *)```\w*\n.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


# Commands


def command_lines(text):
    """Return every call of faceexp in a page as words: in blocks for a shell, and in backticks within a sentence."""
    lines = [line for block in blocks(text, "bash", "console") for line in block.replace("\\\n", " ").splitlines()]
    lines += [f"faceexp {words}" for words in re.findall(r"`faceexp\s+([^`]+)`", prose(text))]
    parts = [part.strip() for line in lines for part in re.split(r"&&|;", line)]
    return [shlex.split(part, comments=True) for part in parts if part.startswith("faceexp ")]


def wrong_commands(text):
    mistakes = []
    for _, name, *words in command_lines(text):
        if name.startswith("-"):
            continue
        if name not in COMMANDS:
            mistakes.append(f"there is no command {name}")
            continue
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help", "-h"}
        given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        mistakes += [f"{name} has no option {option}" for option in given if option not in options]
    return mistakes


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_command_and_option_exists(path):
    assert wrong_commands(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("```bash\nfaceexp walk a.toml\n```", "there is no command walk"),
        ("```console\nfaceexp run a.toml --fast\n```", "run has no option --fast"),
        ("```bash\npip install faceexp && faceexp report runs/a --sort=eer -z\n```", "report has no option -z"),
        ("Then `faceexp verify MODEL --pair\nx.csv` says.", "verify has no option --pair"),
        ("1. Do\n\n    ```bash\n    faceexp cache --empty  # all\n    ```\n", "cache has no option --empty"),
    ],
)
def test_a_wrong_command_is_noticed(text, mistake):
    assert wrong_commands(text) == [mistake]


def test_pages_call_most_commands():
    # The checks above would also pass if they saw no command at all.
    called = {words[1] for path in PAGES for words in command_lines(path.read_text(encoding="utf-8"))}
    assert len(called & set(COMMANDS)) >= len(COMMANDS) - 2


def wrong_sessions(text):
    """Return the nox sessions that a page names and that are not there."""
    functions = [
        node for node in ast.parse((ROOT / "noxfile.py").read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    names = {node.name for node in functions if node.decorator_list}
    for node in functions:
        names |= {
            ast.literal_eval(word.value)
            for d in node.decorator_list
            for word in getattr(d, "keywords", ())
            if word.arg == "name"
        }
    return [name for name in re.findall(r"\bnox -s ([\w-]+)", text) if name not in names]


@pytest.mark.parametrize("path", [*PAGES, *WORKFLOWS], ids=page_id)
def test_every_nox_session_exists(path):
    assert wrong_sessions(path.read_text(encoding="utf-8")) == []


def test_a_missing_nox_session_is_noticed():
    assert wrong_sessions("`nox -s build`, then `nox -s fly-away`") == ["fly-away"]


def test_the_first_steps_of_the_site_are_those_of_the_readme():
    # Continuous integration runs these two lines of the README as they stand.
    commands = re.findall(r"^pip install .*$", README.read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] == "pip install nox && nox"
    assert commands[0] in (ROOT / "docs" / "index.md").read_text()


# Experiment files


def merged(base, changes):
    """Return tables with changes in them; a table that names another plugin takes the place of the first."""
    if not isinstance(base, dict) or not isinstance(changes, dict) or "plugin" in changes:
        return changes
    return base | {key: merged(base.get(key), value) for key, value in changes.items()}


def wrong_experiments(text, folder):
    """Return what is wrong with a page's experiments; one without a name is a part, which is put into the README's."""
    (whole,) = [tomllib.loads(block) for block in blocks(README.read_text(), "toml")]
    mistakes = []
    for block in blocks(text, "toml"):
        try:
            tables = tomllib.loads(block)
            (folder / "experiment.toml").write_text(
                tomli_w.dumps(tables if "name" in tables else merged(whole, tables))
            )
            pipeline.load(folder / "experiment.toml")
        except tomllib.TOMLDecodeError as error:
            mistakes.append(str(error))
        except InputError as error:
            mistakes += [problem.message for problem in error.problems]
    return mistakes


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_experiment_is_valid(path, install, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    # Nobody has the folders that pages name. The lists of parts and templates are read.
    monkeypatch.setattr("faceexp.planning.paths.Paths.missing", lambda *_: iter(()))
    for part in PARTS:
        (tmp_path / f"{part}.txt").write_text("Ann_Lee\n", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "IJBC" / "meta"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ijbc_face_tid_mid.txt").write_text("1.jpg 1 69544\n2.jpg 11065 3720\n", encoding="utf-8")
        (folder / "ijbc_template_pair_label.txt").write_text("1 11065 1\n", encoding="utf-8")
    numbers = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 112, 112])
    network = helper.make_graph([helper.make_node("Flatten", ["images"], ["flat"])], "none", [numbers], [])
    onnx.save(helper.make_model(network), tmp_path / "arcface.onnx")
    # The guide for authors compares a loss that it has shown before.
    for code in blocks(text, "python"):
        if "(LossPlugin)" in code:
            install("shown-loss", "loss", "my_loss", code + "\n\nPlugin = MyLoss\n")
    assert wrong_experiments(text, tmp_path) == []


WHOLE = """
name = "whole"
dataset = { plugin = "orl" }
protocol = { kind = "open_set" }
model = { plugin = "thin_vgg" }
"""


@pytest.mark.parametrize(
    ("block", "mistake"),
    [
        ("name = ", "Invalid value"),
        ("[pretrain]\nepochs = 0", "greater"),
        ("[pretrain]\nepoch = 3", "epochs"),
        ('[dataset]\nplugin = "orl"\npath = "faces"', "unknown option"),
        ('[[losses]]\nplugin = "contrastive"\nmargins = 1.0', "margin"),
        ('[[losses]]\nplugin = "contrast"', "contrastive"),
        # What has a name is a whole file, which has to be valid as it stands.
        (f'{WHOLE}[[losses]]\nplugin = "contrastive"', "finetune: is missing; add [finetune]"),
    ],
)
def test_a_wrong_experiment_is_noticed(block, mistake, tmp_path):
    (tmp_path / "faces").mkdir()
    (message,) = wrong_experiments(f"```toml\n{block}\n```", tmp_path)
    assert mistake in message


# Python


def wrong_python(text):
    mistakes = []
    for block in blocks(text, "python"):
        try:
            tree = ast.parse(block)
        except SyntaxError as error:
            mistakes.append(str(error))
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "faceexp":
                module = importlib.import_module(node.module)
                mistakes += [f"{node.module} has no {a.name}" for a in node.names if not hasattr(module, a.name)]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "faceexp":
                mistakes += [] if hasattr(faceexp, node.attr) else [f"faceexp has no {node.attr}"]
    return mistakes


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_python_block_compiles_and_imports_what_there_is(path):
    assert wrong_python(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        ("print(", "'(' was never closed"),
        ("from faceexp.contract import Loss", "faceexp.contract has no Loss"),
        ("import faceexp\nfaceexp.start()", "faceexp has no start"),
    ],
)
def test_wrong_python_is_noticed(code, mistake):
    (message,) = wrong_python(f"```python\n{code}\n```")
    assert message.startswith(mistake)


# Links


def site_pages():
    """Return the pages in the site's navigation."""
    return set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))


def anchors(text):
    """Return what a link's # may name: each heading in small letters, with hyphens for blanks."""
    titles = re.findall(r"^#+ (.+?)(?: \{.*\})?$", prose(text), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def wrong_links(text, page):
    mistakes = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if (
            (ROOT / "docs") in path.parents
            and path.relative_to(ROOT / "docs").as_posix() in site_pages()
            and not path.exists()
        ):
            # The site makes this page; its own strict build checks the anchor.
            continue
        if not path.exists():
            mistakes.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(text if path == page else path.read_text(encoding="utf-8")):
            mistakes.append(f"{target}: there is no such heading")
    return mistakes


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_link_leads_somewhere(path):
    assert wrong_links(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("link", "mistake"),
    [
        ("docs/nowhere.md", "there is no such file"),
        ("docs/speed.md#nothing", "there is no such heading"),
        ("#nothing", "there is no such heading"),
        ("docs/reference/nothing.md", "there is no such file"),
    ],
)
def test_a_wrong_link_is_noticed(link, mistake):
    assert wrong_links(f"# Something\n\n[words]({link}), [here](#something)", README) == [f"{link}: {mistake}"]


def test_the_site_has_every_page():
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert written <= site_pages()
    # What is not written is made from the program, or has its text in the root.
    assert {page for page in site_pages() - written if not page.startswith("reference/")} == {
        "changelog.md",
        "contributing.md",
        "security.md",
    }


# Lists


def table(text, first_header):
    """Return the rows of a table that begins with this header."""
    (rows,) = re.findall(rf"^\| {first_header} \|.*\n\| --- .*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return rows


def offered(kinds):
    """Return the names of all plugins of a kind that this repository has."""
    projects = [
        tomllib.loads(path.read_text())["project"] for path in (ROOT / "plugins" / kinds).glob("*/pyproject.toml")
    ]
    return {name for project in projects for name in project["entry-points"][f"faceexp.{kinds}"]}


def compared(what, named, there):
    mistakes = [f"{what} {name} is not in the README" for name in sorted(there - named)]
    return mistakes + [f"the README names {what} {name}, which is not there" for name in sorted(named - there)]


def wrong_lists(text):
    """Return what the README's lists of commands, losses, data sets and models leave out or invent."""
    spans = re.findall(r"`([^`]+)`", table(text, "command"))
    # A row may name a second command without `faceexp` before it.
    first_words = {span.split()[0] for span in spans}
    commands = {span.split()[1] for span in spans if span.startswith("faceexp ")} | (first_words & set(COMMANDS))
    mistakes = compared("command", commands, set(COMMANDS))
    losses = set(re.findall(r"`(\w+)`", table(text, "family")))
    mistakes += compared("loss", losses, offered("losses"))
    if f"The {len(losses)} losses of this repository" not in text:
        mistakes.append(f"the README does not say that there are {len(losses)} losses")
    for what, kinds, word in (("data set", "datasets", "Data sets"), ("model", "models", "Trunks")):
        (sentence,) = re.findall(rf"\b{word}: (.*?)\.\s", text, re.DOTALL)
        mistakes += compared(what, set(re.findall(r"`(\w+)`", sentence)), offered(kinds))
    return mistakes


def test_the_readme_lists_what_there_is():
    assert wrong_lists(README.read_text()) == []


@pytest.mark.parametrize(
    ("text", "instead", "mistakes"),
    [
        ("| `faceexp schema` |", "| `faceexp scheme` |", ["command schema is not", "the README names command scheme"]),
        ("`identify MODEL", "`MODEL", ["command identify is not"]),
        ("`arcface` ", "", ["loss arcface is not", "the README does not say that there are 48"]),
        ("`npz`", "`nps`", ["data set npz is not", "the README names data set nps"]),
        ("`keras_file`", "", ["model keras_file is not"]),
    ],
)
def test_a_wrong_list_is_noticed(text, instead, mistakes):
    written = README.read_text()
    assert text in written
    noticed = wrong_lists(written.replace(text, instead))
    assert [said.startswith(start) for said, start in zip(noticed, mistakes, strict=True)] == [True] * len(mistakes)


# What stands in two places


def test_the_version_to_cite_is_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_continuous_integration_runs_every_python_that_is_promised():
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(classifiers))
    (matrix,) = re.findall(r"python: (\[.*\])", (ROOT / ".github" / "workflows" / "checks.yml").read_text())
    assert ast.literal_eval(matrix) == promised
