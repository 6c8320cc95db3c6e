"""What a loss needs of its batches, beside what they hold."""

from __future__ import annotations

from faceexp.contract import BatchNeeds, BatchSupply


def lack(needs: BatchNeeds, supply: BatchSupply) -> str:
    """Return what a batch lacks for a loss, or an empty text."""
    lacks = []
    if supply.classes < needs.classes:
        lacks.append(f"{needs.classes} identities in every batch")
    if supply.images_per_class < needs.images_per_class:
        lacks.append(f"{needs.images_per_class} images of an identity in every batch")
    if needs.halves == "similar" and supply.halves != "similar":
        lacks.append("rows i and i + B/2 of the same identity")
    if needs.halves == "mixed" and supply.halves != "mixed":
        lacks.append("rows i and i + B/2 of the same identity in some pairs and of different ones in others")
    return " and ".join(lacks)
