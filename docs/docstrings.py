"""Docstrings as pages show them: examples as blocks of code, names of other objects as code.

In the source they are written for readers of the source. Markdown takes ``>>>`` for a quotation, and does not know the
roles of reStructuredText.
"""

from __future__ import annotations

import re

from griffe import Extension, Module, Object


class Docstrings(Extension):
    """Rewrites every docstring after it was read and before it is shown."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rewrite the docstring of a module, class or function."""
        if obj.docstring:
            obj.docstring.value = _as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: Module, **_: object) -> None:
        """Rewrite the docstring of a package, which is no object to Griffe."""
        self.on_object(obj=pkg)


def _as_markdown(text: str) -> str:
    # A section of this name would be one long line.
    text = re.sub(r"^Class variables:$", "Attributes:", text, flags=re.MULTILINE)
    without_roles = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    # An example begins with a prompt, and ends with an empty line or the docstring.
    return re.sub(r"^>>> .*?(?=\n\n|\Z)", _block, without_roles, flags=re.MULTILINE | re.DOTALL)


def _block(example: re.Match[str]) -> str:
    lines = [re.sub(r"^(?:>>>|\.\.\.) ?", "", line) for line in example[0].splitlines()]
    return "\n".join(["```python", *lines, "```"])
