"""Maps the top-level folders to one package, gankit, and builds the C extension where there is a compiler."""

from __future__ import annotations

from setuptools import setup

FOLDERS = {
    "gankit": "gankit",
    "gankit.kernels": "kernels",
    "gankit.plugins": "plugins",
    "gankit.plugins.architectures": "plugins/architectures",
    "gankit.plugins.datasets": "plugins/datasets",
    "gankit.plugins.metrics": "plugins/metrics",
    "gankit.plugins.variants": "plugins/variants",
    "gankit.cli": "cli",
}

setup(
    packages=list(FOLDERS),
    package_dir=FOLDERS,
    package_data={"gankit": ["py.typed"]},
)
