"""What all data sets have in common."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT
from published import bmp, load, write

from gankit import UsageError
from gankit.data.catalogue import DataOptions
from gankit.plugins.datasets import mat5
from gankit.registry import registry


def test_a_set_that_is_nowhere_and_cannot_be_downloaded_says_where_to_get_it(tmp_path):
    with pytest.raises(UsageError, match=r"no img_align_celeba .*mmlab\.ie\.cuhk"):
        load("celeba", data_root=str(tmp_path))
    with pytest.raises(UsageError, match="put the published files there"):
        load("cifar10", data_root=str(tmp_path))


@pytest.mark.parametrize("name", [n for n, e in registry().entries["datasets"].items() if n not in ("stripes",)])
def test_every_set_refuses_a_part_it_does_not_have(name):
    with pytest.raises(UsageError, match=r"--split middle|needs a path"):
        load(name, split="middle")


@pytest.mark.parametrize("archive", [None, "birds.zip"])
def test_the_data_set_in_the_manual_works(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path))
    manual = (ROOT / "docs" / "plugins.md").read_text()
    (code,) = (part for part in re.findall(r"```python\n(.*?)```", manual, re.S) if "class Birds" in part)
    names = {}
    exec(code, names)
    with pytest.raises(UsageError, match=r"birds\.zip from"):
        names["Birds"]().load(DataOptions(data="birds"), 0)
    (tmp_path / "birds").mkdir()
    top = "" if archive else "birds/"
    write(tmp_path / "birds", {f"{top}train/{i}.png": bmp((i, 0, 0)) for i in range(5)}, archive)
    found = names["Birds"]().load(DataOptions(data="birds", size=8), 0)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_no_reader_can_unpickle():
    folder = Path(mat5.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text
        assert "allow_pickle=True" not in text
