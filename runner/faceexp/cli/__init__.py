"""The command line: the only package that prints or exits. Each of its files has the commands of one topic.

``main`` lists every command; ``console`` owns standard output and standard error.
"""

from faceexp.cli.main import app, main

__all__ = ["app", "main"]
