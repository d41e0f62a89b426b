"""The version of gankit, here so that no package needs to import the whole for it."""

__version__ = "0.1.0"
