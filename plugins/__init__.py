"""The built-in plugins, registered through the same hooks as a stranger's."""

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.plugins; a bare import from the source folder would make a second copy"
    )
