"""The command line: the only package that prints or exits; a file for each topic.

``main`` names every command; ``console`` owns the two streams.
"""

from faceexp.cli.main import main

__all__ = ["main"]
