"""The two streams: what is printed where, what is kept off the screen, and how progress is shown."""

import contextlib
import errno
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from faceexp.cli.streams import text_stream
from faceexp.errors import InputError, Problem, printable
from faceexp.files import at_home

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def user_text(text: str) -> str:
    """Return the text of a path that a user names; see :func:`faceexp.files.at_home`.

    Raises:
        InputError: It holds a null character, so that no file can have that name.
    """
    if "\0" in text:
        raise InputError(Problem("is no name of a file, since it holds a null character; name another", text))
    return at_home(text)


def user_path(text: str | Path) -> Path:
    """Return the path that a user names; see :func:`user_text`. Every command reads its paths with it.

    Raises:
        InputError: No file can have that name.
    """
    path = Path(user_text(str(text)))
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(Problem("is too long for the name of a file; name another", str(path))) from None
    return path


def _store_folder(text: str) -> Path:
    """Return the folder of ``--store``.

    Raises:
        InputError: The text is empty, which would mean the current folder.
    """
    if not text.strip():
        raise InputError(Problem("names no folder; name one, or leave the option out", "--store ''"))
    return user_path(text)


StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="FACEEXP_STORE",
        parser=_store_folder,
        help="Where finished work is kept and found again; by default in the user's cache.",
    ),
]
NewFolder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", parser=user_path, help="The folder to write to; it must be new or empty.", show_default=False
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]

# How often Python usually looks for garbage; ``main`` changes that for a while.
GARBAGE = gc.get_threshold()
# Characters in a line where nobody looks at a screen: a table of a run with all its columns needs about as many.
FILE_WIDTH = 140


def fail(error: InputError) -> NoReturn:
    """Print one line per mistake on standard error, and exit with code 2."""
    # Rich would fold long lines; without it each mistake stays on one line, whatever the width of the screen.
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


def output_console() -> "Console":
    """Return the console of standard output; in a file or a pipe, lines are wide enough for the table of a run."""
    from rich.console import Console

    console = Console()
    return console if console.file.isatty() or "COLUMNS" in os.environ else Console(width=FILE_WIDTH)


def error_console() -> "Console":
    """Return the console of standard error."""
    from rich.console import Console

    return Console(stderr=True)


def say(text: str, style: str = "dim", console: "Console | None" = None, *, prose: bool = False) -> None:
    """Print one line on standard error as it is: brackets in a path or a label are no markup, and nothing is folded.

    ``prose`` holds no path that somebody may copy; so on a screen it is folded between words.
    """
    console = console or error_console()
    soft = not (prose and is_screen(console))
    console.print(printable(text), style=style, markup=False, highlight=False, emoji=False, soft_wrap=soft)


def is_screen(console: "Console") -> bool:
    """Return whether somebody sees what moves: a log has colours if ``FORCE_COLOR`` asks for them, and no cursor."""
    return console.file.isatty() and console.is_interactive


def show(renderable: "RenderableType", data: object, *, as_json: bool) -> None:
    """Print an answer on standard output: as people read it, or as one JSON document for programs."""
    if as_json:
        from faceexp.results.jsonable import to_jsonable

        print_json(to_jsonable(data))
    else:
        # A path that is longer than a line is left whole, so that it can be copied.
        output_console().print(renderable, markup=False, highlight=False, emoji=False, crop=False)


def print_json(data: object) -> None:
    """Print one JSON document on standard output."""
    print(json_text(data))


def json_text(data: object) -> str:
    """Return one JSON document in ASCII, so that every encoding has its letters."""
    # JSON allows one control character in its texts as it is, which a terminal would act on.
    return json.dumps(data, indent=1, allow_nan=False).replace("\x7f", "\\u007f")


def settle() -> None:
    """Look for garbage as often as Python usually does, since networks that are no longer used hold much memory.

    What exists by now stays until the end, so it is left out of the search.
    """
    if gc.get_threshold() != GARBAGE:
        gc.freeze()
        gc.set_threshold(*GARBAGE)


@contextlib.contextmanager
def quiet() -> Iterator["Console"]:
    """Keep what libraries write to standard error off the screen, and yield a console that still writes to it.

    TensorFlow writes its messages from C++, past Python's ``sys.stderr``; so the file descriptor itself is redirected.
    If the command ends in an error that is not the user's, what was held back is shown, since it may say why.
    """
    import tempfile

    from rich.console import Console

    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back, text_stream(saved, sys.stderr) as screen:
        os.dup2(held_back.fileno(), 2)
        python_stderr, sys.stderr = sys.stderr, screen
        try:
            yield Console(file=screen)
        except (InputError, typer.Exit):
            raise
        except BaseException:
            held_back.seek(0)
            screen.write(held_back.read().decode(errors="replace"))
            raise
        finally:
            screen.flush()
            sys.stderr = python_stderr
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def writing(option: str, file: Path | None) -> Iterator[None]:
    """Turn an error from writing a file into one that names the option and the file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            Problem(f"cannot be written: {error.strerror}; name another file", f"{option} {file}")
        ) from None


@contextlib.contextmanager
def counting(stderr: "Console", words: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number that is done; on a terminal it moves a bar that shows the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not is_screen(stderr):
        yield lambda _: settle()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(words, total=total)

        def on_progress(done: int) -> None:
            settle()
            progress.update(task, completed=done)

        yield on_progress
