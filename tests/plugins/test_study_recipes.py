"""Recipes of studies that plugins register, by their files."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pluggy
import pytest

from gankit import UsageError, hookimpl, hookspecs
from gankit import registry as registry_module
from gankit.registry import Registry
from gankit.studies import RECIPES

QUESTION = 'question = "Does width matter?"\nsource = "a paper"\n'


@pytest.fixture
def registry():
    manager = pluggy.PluginManager("gankit")
    manager.add_hookspecs(hookspecs)
    return Registry(manager)


def plugin(*paths):
    """A plugin that registers recipes."""
    module = types.ModuleType("stranger")
    module.register_studies = hookimpl(lambda register: [register(path) for path in paths] and None)
    return module


def test_a_recipe_is_called_as_its_file_and_its_question_is_read_when_asked_for(registry, tmp_path):
    path = tmp_path / "width.toml"
    registry.add(plugin(path), "gan-foo 0.2")  # the file is not there yet: registering reads nothing
    assert registry.names("studies") == ["width"]
    assert registry.get("studies", "width") == path
    (entry,) = registry.entries["studies"].values()
    assert entry.line().startswith("cannot be read: FileNotFoundError")
    path.write_text(QUESTION)
    assert entry.line() == "Does width matter?"
    path.write_text("question =")
    assert entry.line().startswith("cannot be read: TOMLDecodeError")
    with pytest.raises(UsageError, match=r"unknown recipe 'widht': did you mean 'width'\?"):
        registry.get("studies", "widht")


def test_two_recipes_of_one_name_are_an_error_that_names_both_owners(registry, tmp_path):
    registry.add(plugin(tmp_path / "width.toml"), "gankit")
    with pytest.raises(UsageError, match=r"recipe 'width' from gan-foo 0.2 is already registered by gankit"):
        registry.add(plugin(tmp_path / "a" / "width.toml", tmp_path / "b.toml"), "gan-foo 0.2")
    assert registry.names("studies") == ["width"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("width.toml", "is the pathlib.Path of a .toml file"),
        (Path("width.json"), "is the pathlib.Path of a .toml file"),
        (Path("list.toml"), "cannot be called 'list', which is a command"),
        (Path("show.toml"), "cannot be called 'show', which is a command"),
    ],
)
def test_what_can_be_no_recipe_is_refused_where_it_is_registered(registry, target, message):
    with pytest.raises((TypeError, UsageError), match=message):
        registry.add(plugin(target), "gan-foo 0.2")
    assert registry.names("studies") == []


def test_every_recipe_that_is_installed_is_registered_and_listed(cli):
    listed = json.loads(cli("plugins", "list", "--json").stdout)["registered"]
    shown = {each["name"]: each["summary"] for each in listed if each["kind"] == "studies"}
    assert set(shown) == {path.stem for path in RECIPES} == set(registry_module.registry().names("studies"))
    assert not [name for name, line in shown.items() if not line or line.startswith("cannot be read")]
