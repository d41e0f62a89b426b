"""Maps the top-level folders to one package, gankit, and builds the C extension where there is a compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Each top-level folder, and the package that it and its subfolders become.
ROOTS = {
    "gankit": "gankit", "kernels": "gankit.kernels", "plugins": "gankit.plugins", "cli": "gankit.cli",
    "studies": "gankit.studies",
}  # fmt: skip


def packages() -> dict[str, str]:
    """Every folder with an __init__.py below the roots, by the name of its package."""
    found = {}
    for folder, package in ROOTS.items():
        for init in sorted(Path(folder).rglob("__init__.py")):
            found[".".join((package, *init.parent.parts[1:]))] = init.parent.as_posix()
    return found


FOLDERS = packages()
C_SOURCES = Path("kernels/csrc")

# Contraction would make the bits depend on the vector width; -Wno-psabi, since no vector crosses a file.
FLAGS = ["-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-psabi"]
LOG = "_build_log.txt"


class BuildOrExplain(build_ext):
    """Builds the extension; a failure is written to kernels/_build_log.txt, which `gankit doctor` shows.

    pip hides what a build prints and a machine without a compiler still has the reference, so a failure must
    neither stop the installation nor be lost.
    """

    def build_extension(self, ext: Extension) -> None:
        """Build `ext` or leave the compiler's words beside where it would lie."""
        log = Path(self.build_lib, "gankit", "kernels", LOG)
        log.unlink(missing_ok=True)
        try:
            super().build_extension(ext)
        except Exception as error:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"{type(error).__name__}: {error}\n\n{self.compiler_says(ext)}", encoding="utf-8")

    def compiler_says(self, ext: Extension) -> str:
        """What the compiler prints for this extension's sources, which setuptools does not hand on."""
        command = [
            *getattr(self.compiler, "compiler_so", ["cc"]),
            *(f"-I{folder}" for folder in (*ext.include_dirs, *self.include_dirs)),
            *ext.extra_compile_args,
            "-fsyntax-only",
            *ext.sources,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            return f"{command[0]}: {error}\n"
        return done.stderr

    def copy_extensions_to_source(self) -> None:
        """In an editable installation the log, too, lies among the sources."""
        super().copy_extensions_to_source()
        built, shown = Path(self.build_lib, "gankit", "kernels", LOG), Path("kernels", LOG)
        shown.unlink(missing_ok=True)
        if built.exists():
            shown.write_text(built.read_text(encoding="utf-8"), encoding="utf-8")


setup(
    packages=list(FOLDERS),
    package_dir=FOLDERS,
    package_data={
        "gankit": ["py.typed"],
        "gankit.report": ["page.css"],
        "gankit.studies": ["*.toml"],
        "gankit.kernels": ["*.pyi", "csrc/**/*.[ch]", LOG],
    },
    ext_modules=[
        Extension(
            "gankit.kernels._cpu",
            sorted(source.as_posix() for source in C_SOURCES.rglob("*.c")),
            depends=sorted(source.as_posix() for source in C_SOURCES.rglob("*.[ch]")),  # a source may include itself
            include_dirs=[C_SOURCES.as_posix()],
            extra_compile_args=FLAGS,
            py_limited_api=True,
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildOrExplain},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
