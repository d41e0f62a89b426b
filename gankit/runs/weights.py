"""Which weights the pictures and scores of a run are of, in words."""

from __future__ import annotations


def in_words(halflife_images: object) -> str:
    """The weights that a run draws with, by its ``ema_halflife_images`` as config.json has it."""
    if isinstance(halflife_images, int) and halflife_images > 0:
        return f"averaged weights (half-life {halflife_images:,} images)"
    return "the last step's weights"
