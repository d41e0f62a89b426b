"""The recipes that come with gankit, one .toml file each; docs/lab.md explains their keys."""

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.studies; a bare import from the source folder would make a second copy"
    )

from pathlib import Path

RECIPES = tuple(sorted(Path(__file__).parent.glob("*.toml")))
