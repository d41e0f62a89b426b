"""Shared by all tests: one thread (the networks are tiny, and the suite shares two cores), and a tiny run to use."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from click.testing import CliRunner
from tiny import TINY

import gankit
from gankit.cli import main


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Images that tests prepare stay out of the user's cache, and are gone with pytest's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tiny():
    """Options that train any variant in a fraction of a second."""
    return dict(TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished tiny WGAN-GP run; only to be read."""
    root = tmp_path_factory.mktemp("finished") / "run"
    gankit.train("wgan-gp", out=root, steps=4, **TINY)
    return root


@pytest.fixture
def cli():
    """Calls the command line in this process; its words may be paths and numbers."""

    def call(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return call
