"""Strangers' plugins work like ours, and a broken one breaks nothing but itself."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import types
import venv
from importlib import metadata

import click
import pluggy
import pytest
from paths import ROOT

import gankit
from gankit import GankitError, UsageError, hookimpl, hookspecs
from gankit import registry as registry_module
from gankit.registry import Registry


@pytest.fixture
def registry():
    manager = pluggy.PluginManager("gankit")
    manager.add_hookspecs(hookspecs)
    return Registry(manager)


def plugin(**hooks):
    """A plugin module with the given hooks."""
    module = types.ModuleType("stranger")
    for name, hook in hooks.items():
        setattr(module, name, hookimpl(hook))
    return module


def entry_point(monkeypatch, load):
    """Make ``load`` what one installed package's entry point in group gankit does, and rebuild the registry."""
    distribution = types.SimpleNamespace(name="gan-foo", version="0.2")
    point = types.SimpleNamespace(name="foo", dist=distribution, load=load)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "gankit" else [])
    return registry_module.registry.__wrapped__


def register_foo(register):
    register("foo:Foo", name="foo", summary="a foo")


def test_a_duplicate_name_is_an_error_that_names_both_owners(registry):
    registry.add(plugin(register_variants=register_foo), "gankit")
    with pytest.raises(UsageError, match=r"variant 'foo' from gan-foo 0.2 is already registered by gankit"):
        registry.add(plugin(register_variants=register_foo), "gan-foo 0.2")


def test_a_plugin_that_fails_is_left_out_whole(registry):
    def fails(register):
        raise RuntimeError("no such thing")

    both = plugin(register_variants=register_foo, register_datasets=fails)
    with pytest.raises(RuntimeError):
        registry.add(both, "gan-foo 0.2")
    assert registry.names("variants") == []
    assert not registry.manager.is_registered(both)


def test_a_hook_that_does_not_exist_is_named(registry):
    with pytest.raises(pluggy.PluginValidationError, match="register_varians"):
        registry.add(plugin(register_varians=register_foo), "gan-foo 0.2")
    with pytest.raises(TypeError, match="with a name and a summary"):
        registry.add(plugin(register_variants=lambda register: register("foo:Foo")), "gan-bar 1")


def test_a_broken_package_is_named_with_its_cause_and_the_rest_works(monkeypatch, capsys):
    def load():
        raise ImportError("needs the flux capacitor")

    found = entry_point(monkeypatch, load)()
    assert "gan-foo 0.2 is left out: ImportError: needs the flux capacitor" in capsys.readouterr().err
    assert found.broken == [("gan-foo 0.2", "ImportError: needs the flux capacitor")]
    assert "dcgan" in found.names("variants")


def test_strict_mode_makes_a_broken_package_an_error(monkeypatch):
    monkeypatch.setenv("GANKIT_STRICT", "1")
    with pytest.raises(GankitError, match=r"plugin gan-foo 0\.2 failed to load: KeyError"):
        entry_point(monkeypatch, lambda: {}["nothing"])()


def test_a_class_that_cannot_be_imported_is_named_with_its_owner(monkeypatch):
    found = entry_point(monkeypatch, lambda: plugin(register_variants=register_foo))()
    with pytest.raises(GankitError, match=r"'foo' from gan-foo 0.2 could not be loaded: ModuleNotFoundError"):
        found.get("variants", "foo")


def test_plugins_add_commands_but_cannot_replace_ours(monkeypatch, capsys):
    group = click.Group("gankit", commands={"train": click.Command("train")})
    good = plugin(register_commands=lambda cli: cli.add_command(click.Command("dance")))
    found = entry_point(monkeypatch, lambda: good)()
    found.add_commands(group)
    assert set(group.commands) == {"train", "dance"}
    bad = plugin(register_commands=lambda cli: cli.add_command(click.Command("train")))
    mine = group.commands["train"]
    entry_point(monkeypatch, lambda: bad)().add_commands(group)
    assert group.commands["train"] is mine
    assert "command 'train' is already registered" in capsys.readouterr().err


def test_the_log_hook_hears_every_recorded_step(monkeypatch, tmp_path, tiny):
    heard = []
    listener = plugin(log=lambda run, step, values: heard.append((run, step, values["generator/loss"])))
    manager = registry_module.registry().manager
    manager.register(listener, "listener")
    try:
        gankit.train("dcgan", out=tmp_path / "run", steps=3, **tiny)
    finally:
        manager.unregister(listener)
    assert [(run, step) for run, step, _ in heard] == [(str(tmp_path / "run"), step) for step in (1, 2, 3)]
    assert [loss for *_, loss in heard] == [row["generator/loss"] for row in gankit.Run(tmp_path / "run").metrics()]


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("register_") or name == "log"])
def test_every_hook_is_documented(hook):
    assert getattr(hookspecs, hook).__doc__
    assert f"`{hook}" in (ROOT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("folder", ["kernels", "plugins", "cli", "studies"])
def test_a_second_copy_of_a_package_cannot_be_imported_from_the_source_folder(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import this package as gankit.{folder}" in done.stderr


def test_the_example_package_trains_beside_gankit_in_a_fresh_environment(tmp_path):
    """Built and installed as a stranger would, but for torch, numpy and the like, which are taken from here."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    site = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for package in ("gankit", "gankit-hinge"):
        source = tmp_path / package
        where = ROOT if package == "gankit" else ROOT / "examples" / package
        ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so", "__pycache__")
        shutil.copytree(where, source, ignore=ignored)
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            str(site),
        ]
        subprocess.run([*install, str(source)], check=True)
    # Only the dependencies: a .pth file would also run this environment's own editable finder.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean["PYTHONPATH"] = os.pathsep.join([str(site), sysconfig.get_paths()["purelib"]])
    gankit_there = [str(environment / "bin" / "python"), "-P", "-c", "from gankit.cli import main; main()"]

    def call(*args):
        return subprocess.run(
            [*gankit_there, *args], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
        ).stdout

    listed = json.loads(call("plugins", "list", "--json"))
    assert {
        "kind": "variants",
        "name": "hinge",
        "summary": "GAN with the hinge loss",
        "from": "gankit-hinge 0.1.0",
    } in listed["registered"]
    assert listed["broken"] == []
    call(
        "train",
        "hinge",
        "--out",
        "run",
        "--arch",
        "mlp",
        "--ngf",
        "2",
        "--ndf",
        "2",
        "--size",
        "8",
        "--limit",
        "50",
        "--steps",
        "3",
        "-q",
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert rows[0]["discriminator/loss"] == pytest.approx(2, abs=0.5)
    call("sample", "run", "-o", "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 100


def test_a_listener_that_fails_is_named_and_the_run_goes_on(tmp_path, tiny, capsys):
    def fails(run, step, values):
        raise ConnectionError("the dashboard is down")

    listener = plugin(log=fails)
    manager = registry_module.registry().manager
    manager.register(listener, "dashboard")
    try:
        run = gankit.train("dcgan", out=tmp_path / "run", steps=3, **tiny)
    finally:
        manager.unregister(listener)
    assert len(run.metrics()) == 3
    assert capsys.readouterr().err.count("dashboard hears no more: ConnectionError: the dashboard is down") == 1


def test_an_option_that_every_variant_has_cannot_be_declared_again(monkeypatch):
    from gankit.config import configure
    from gankit.registry import Entry

    greedy = dataclasses.make_dataclass(
        "Greedy", [("steps", int, gankit.option(3, "mine"))], bases=(gankit.AdversarialOptions,), frozen=True
    )
    greedy.__module__ = __name__
    variant = type("Foo", (), {"name": "foo", "defaults": {}, "tuned": {}, "Options": greedy, "__qualname__": "Foo"})
    monkeypatch.setitem(
        registry_module.registry().entries["variants"], "foo", Entry("foo", "a foo", "gan-foo", variant)
    )
    with pytest.raises(UsageError, match="declares --steps, which every variant has already"):
        configure("foo", {})
