"""The registry of everything that plugins add, filled by pluggy and importing nothing heavy."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import types
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pluggy

from gankit import hookspecs
from gankit.core.errors import GankitError, UsageError, closest
from gankit.core.progress import warn
from gankit.data.catalogue import About

KINDS = ("variants", "architectures", "datasets", "metrics", "extractors", "studies")
RECIPE_COMMANDS = ("list", "show")
"""Words after `gankit study` that no recipe can be called."""


class Entry(NamedTuple):
    """One registered thing: its name, a line about it, who registered it, where its class is, or the recipe of a study;
    what is known of a data set before its class is loaded.
    """

    name: str
    summary: str
    owner: str
    target: Any
    about: About | None = None

    def load(self) -> Any:
        """The class itself, or a recipe's path. GankitError naming the owner and the cause where its module cannot be
        imported.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where a command's result goes, no plugin prints
                found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise GankitError(
                f"'{self.name}' from {self.owner} could not be loaded: {type(error).__name__}: {error}"
            ) from error
        for name in ("name", "summary"):  # registered with the dotted name, they need not stand in the class again
            if name not in vars(found):
                setattr(found, name, getattr(self, name))
        return found

    def line(self) -> str:
        """The line about it; of a recipe its question, for which its file is read."""
        if not isinstance(self.target, Path):
            return self.summary
        import tomllib  # slow to import, and only needed where recipes are listed

        try:
            return str(tomllib.loads(self.target.read_text(encoding="utf-8-sig"))["question"])
        except (OSError, ValueError, LookupError, RecursionError) as error:
            return f"cannot be read: {type(error).__name__}: {error}"


class PluginError(GankitError):
    """A plugin failed, or broke a rule, while it was used."""


@contextlib.contextmanager
def blame(whose: str, doing: str) -> Iterator[None]:
    """Within it a plugin's code runs: PluginError naming ``whose`` it is and what it was ``doing`` where it raises
    anything but our own errors, a lack of memory, or an interruption; also where it would end the process.
    """
    try:
        yield
    except (GankitError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if lacks_memory(error):
            raise
        raise PluginError(f"{whose} failed in {doing}: {type(error).__name__}: {error}") from error


def lacks_memory(error: BaseException) -> bool:
    """Whether ``error`` is PyTorch's lack of memory, on a GPU or on a CPU, where it is a RuntimeError."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


class Broken(NamedTuple):
    """A plugin that could not be used, and why."""

    plugin: str
    cause: str


class Registry:
    """Names to entries, one mapping for each kind, and the plugins they came from."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self.plugins: dict[str, list[tuple[str, str]]] = {}
        self.broken: list[Broken] = []
        self._silenced: list[Any] = []

    def get(self, kind: str, name: str) -> Any:
        """What is registered under ``name``, a class or a recipe's path. UsageError naming the closest where there is
        none.
        """
        found = self.entries[kind].get(name)
        if found is None and kind == "datasets" and os.path.exists(path := os.path.expanduser(name)):
            reader = "array" if path.endswith((".npy", ".npz")) else "folder"
            raise UsageError(f"--data {name}: that is a path; did you mean --data {reader}:{name}?")
        if found is None:
            raise UsageError(f"unknown {_SINGULAR[kind]} '{name}': {closest(name, self.entries[kind])}")
        return found.load()

    def whose(self, kind: str, name: str) -> str:
        """What is registered under ``name``, in words: variant 'hinge' of gankit-hinge 0.1.0."""
        entry = self.entries[kind].get(name)
        return f"{_SINGULAR[kind]} '{name}'" + (f" of {entry.owner}" if entry else ", which is not registered")

    def names(self, kind: str) -> list[str]:
        """The registered names of ``kind``, in the order they were registered."""
        return list(self.entries[kind])

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        for kind, entries in self.entries.items():
            for entry in entries.values():
                yield kind, entry

    def add(self, plugin: Any, owner: str) -> None:
        """Register everything ``plugin`` offers, or nothing of it: a plugin that fails is left out whole."""
        try:
            self.manager.register(plugin, owner)
            self.manager.check_pending()
            staged = [(kind, entry) for kind in KINDS for entry in self._collect(plugin, kind, owner)]
            self._check_duplicates(staged)
        except (Exception, SystemExit):
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise
        for kind, entry in staged:
            self.entries[kind][entry.name] = entry
        self.plugins[owner] = [(kind, entry.name) for kind, entry in staged]

    def _collect(self, plugin: Any, kind: str, owner: str) -> list[Entry]:
        collected: list[Entry] = []

        def register(target: Any, *, name: str = "", summary: str = "", about: About | None = None) -> None:
            if isinstance(target, str) and not (name and summary and ":" in target):
                raise TypeError(f"register({target!r}): the dotted form is 'module:Class' with a name and a summary")
            name = name or target.name
            if about is None and not isinstance(target, str):
                about = getattr(target, "about", None)
            collected.append(Entry(name, summary or target.summary, owner, target, about))

        def register_recipe(path: Path) -> None:
            collected.append(_recipe(path, owner))

        others = [other for other in self.manager.get_plugins() if other is not plugin]
        hook = self.manager.subset_hook_caller(f"register_{kind}", remove_plugins=others)
        hook(register=register_recipe if kind == "studies" else register)
        return collected

    def add_commands(self, cli: Any) -> None:
        """Let every plugin add its commands to the click group ``cli``; one whose hook fails is named and left out."""
        for owner, plugin in self.manager.list_name_plugin():
            before = dict(cli.commands)
            others = [other for other in self.manager.get_plugins() if other is not plugin]
            try:
                self.manager.subset_hook_caller("register_commands", remove_plugins=others)(cli=cli)
                taken = [name for name, command in before.items() if cli.commands.get(name) is not command]
                if taken:
                    raise UsageError(f"command '{taken[0]}' is already registered")
            except (Exception, SystemExit) as error:
                cli.commands.clear()
                cli.commands.update(before)
                self._fail(owner, error)

    def _fail(self, owner: str, error: BaseException) -> None:
        cause = str(error) if isinstance(error, GankitError) else f"{type(error).__name__}: {error}"
        if os.environ.get("GANKIT_STRICT") == "1":
            raise GankitError(f"plugin {owner} failed to load: {cause}") from error
        self.broken.append(Broken(owner, cause))
        warn(f"plugin {owner} is left out: {cause}")

    def _check_duplicates(self, staged: list[tuple[str, Entry]]) -> None:
        seen: dict[tuple[str, str], str] = {}
        for kind, entry in staged:
            existing = self.entries[kind].get(entry.name)
            owner = existing.owner if existing else seen.get((kind, entry.name))
            if owner is not None:
                raise UsageError(
                    f"{_SINGULAR[kind]} '{entry.name}' from {entry.owner} is already registered by {owner}"
                )
            seen[kind, entry.name] = entry.owner

    def log(self, run: str, step: int, values: dict[str, Any]) -> None:
        """Hand one recorded step to every plugin that listens; one that fails is named and asked no more."""
        for listener in [impl.plugin for impl in self.manager.hook.log.get_hookimpls()]:
            if listener in self._silenced:
                continue
            others = [other for other in self.manager.get_plugins() if other is not listener]
            hook = self.manager.subset_hook_caller("log", remove_plugins=others)
            try:
                hook(run=run, step=step, values=types.MappingProxyType(values))
            except (Exception, SystemExit) as error:
                self._silenced.append(listener)
                name = self.manager.get_name(listener)
                warn(f"plugin {name} hears no more: {type(error).__name__}: {error}")


def _recipe(path: Path, owner: str) -> Entry:
    """The entry of the recipe in file ``path``. TypeError or UsageError where it can be none."""
    if not isinstance(path, Path) or path.suffix != ".toml":
        raise TypeError(f"register({path!r}): a study's recipe is the pathlib.Path of a .toml file")
    if path.stem in RECIPE_COMMANDS:
        raise UsageError(f"{path}: a recipe cannot be called '{path.stem}', which is a command of `gankit study`")
    return Entry(path.stem, "", owner, path)


_SINGULAR = {
    "variants": "variant",
    "architectures": "architecture",
    "datasets": "data set",
    "metrics": "metric",
    "extractors": "feature extractor",
    "studies": "recipe",
}


@cache
def registry() -> Registry:
    """The registry with the built-in plugins and those of every installed package's entry points in group "gankit".

    A plugin that fails to load is named on standard error with its cause and the rest work; with GANKIT_STRICT=1 it is
    an error.
    """
    manager = pluggy.PluginManager("gankit")
    manager.add_hookspecs(hookspecs)
    found = Registry(manager)
    found.add(importlib.import_module("gankit.plugins"), "gankit")
    for point in sorted(metadata.entry_points(group="gankit"), key=lambda point: point.name):
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else point.name
        if owner in found.plugins:
            owner = f"{owner} ({point.name})"
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found.add(point.load(), owner)
        except (Exception, SystemExit) as error:
            found._fail(owner, error)
    return found
