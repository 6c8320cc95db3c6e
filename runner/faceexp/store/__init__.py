"""Artefacts on disk, addressed by everything that determines them.

An artefact is a folder. It is written under a temporary name, its files are checksummed in ``manifest.json``, and then
it is renamed into place, so that whatever is in its place is complete. A lock per artefact lets several runs share one
store: the second run waits for the first, and then uses its result.
"""

from faceexp.store.artefacts import LOCKS, MARK, MEMORY, UNFINISHED, Artefact, Store
from faceexp.store.keys import Inputs, canonical, content_of, digest, source_digest, source_files
from faceexp.store.places import StoreError, default_root
from faceexp.store.writing import link_or_copy, remove_unfinished, write_bytes, write_text

__all__ = [
    "LOCKS",
    "MARK",
    "MEMORY",
    "UNFINISHED",
    "Artefact",
    "Inputs",
    "Store",
    "StoreError",
    "canonical",
    "content_of",
    "default_root",
    "digest",
    "link_or_copy",
    "remove_unfinished",
    "source_digest",
    "source_files",
    "write_bytes",
    "write_text",
]
