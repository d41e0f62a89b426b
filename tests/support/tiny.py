"""Which of the tiny options a variant has: an autoencoder's networks are its own."""

from __future__ import annotations

from gankit.config import variant_class
from gankit.core.options import fields

TINY = {
    "arch": "mlp",
    "ngf": 2,
    "ndf": 2,
    "nz": 4,
    "batch_size": 8,
    "size": 8,
    "channels": 1,
    "limit": 40,
    "samples": 4,
    "quiet": True,
}


def options_of(variant):
    """The names of the variant's own options."""
    return {field.name for field in fields(variant_class(variant).Options)}


def fitted(variant, tiny):
    """``tiny`` without the options of networks that ``variant`` does not have."""
    missing = {"arch", "ngf", "ndf", "nz"} - options_of(variant)
    return {name: value for name, value in tiny.items() if name not in missing}
