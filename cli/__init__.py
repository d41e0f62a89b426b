"""The click command line, one file a command."""

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.cli; a bare import from the source folder would make a second copy"
    )

from gankit.cli.main import main

__all__ = ["main"]
