"""A run finds its images by their digest, wherever they and the run were moved to."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from PIL import Image

import gankit


def pictures(root, seed=0):
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (8, 8), (seed + 20 * i + len(label) * (label == "dog")) % 256).save(
                root / label / f"{i}.png"
            )
    return root


@pytest.fixture
def home(tmp_path, tiny, monkeypatch):
    """A folder with photos and a run on them, of 2 of 4 steps, and beside it what 4 steps give."""
    home = tmp_path / "ann" / "work"
    pictures(home / "photos")
    monkeypatch.chdir(home)
    del tiny["limit"]
    for name, steps in (("run", 2), ("whole", 4)):
        gankit.train("dcgan", out=home / "runs" / name, data="folder:photos", steps=steps, **tiny)
    return home


def ends_as_whole(run, whole):
    ours, theirs = gankit.Run(run).latest()[0], gankit.Run(whole).latest()[0]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_relative_images_are_found_from_another_working_folder(home, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    gankit.resume(home / "runs" / "run", steps=4, quiet=True)
    ends_as_whole(home / "runs" / "run", home / "runs" / "whole")


@pytest.mark.parametrize("given", ["relative", "absolute"])
def test_a_run_moved_with_its_images_to_another_user_ends_as_it_would_have(given, home, tmp_path, monkeypatch, tiny):
    if given == "absolute":
        data = f"folder:{home / 'photos'}"
        shutil.rmtree(home / "runs" / "run")
        gankit.train("dcgan", out=home / "runs" / "run", data=data, steps=2, **tiny)
    (tmp_path / "bob").mkdir()
    moved = home.rename(tmp_path / "bob" / "project")
    monkeypatch.chdir(tmp_path)
    gankit.resume(moved / "runs" / "run", steps=4, quiet=True)
    ends_as_whole(moved / "runs" / "run", moved / "runs" / "whole")


def test_images_of_the_same_name_that_are_others_are_passed_over(home, tmp_path, monkeypatch):
    pictures(tmp_path / "elsewhere" / "photos", seed=100)
    monkeypatch.chdir(tmp_path / "elsewhere")
    gankit.resume(home / "runs" / "run", steps=4, quiet=True)
    ends_as_whole(home / "runs" / "run", home / "runs" / "whole")


def test_renamed_images_are_named_once_and_then_known(home, cli):
    run = home / "runs" / "run"
    os.rename("photos", "pictures")
    with pytest.raises(gankit.UsageError, match=r"photos: no such folder.*--data NAME:PATH"):
        gankit.resume(run, steps=3, quiet=True)
    assert cli("resume", run, "--data", "folder:pictures", "--steps", 3, "-q").exit_code == 0
    gankit.resume(run, steps=4, quiet=True)
    ends_as_whole(run, home / "runs" / "whole")


def test_other_images_are_refused_by_name(home):
    pictures(home / "others", seed=100)
    before = (home / "runs" / "run" / "config.json").read_bytes()
    with pytest.raises(gankit.UsageError, match="folder:others holds other images"):
        gankit.resume(home / "runs" / "run", data="folder:others", steps=4, quiet=True)
    assert (home / "runs" / "run" / "config.json").read_bytes() == before


def test_a_path_changed_by_hand_in_the_configuration_is_used(home):
    run = home / "runs" / "run"
    os.rename("photos", "pictures")
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace("folder:photos", "folder:pictures"))
    gankit.resume(run, steps=4, quiet=True)
    ends_as_whole(run, home / "runs" / "whole")


def test_a_zip_of_the_images_takes_their_place(home):
    shutil.make_archive("packed", "zip", "photos")
    shutil.rmtree("photos")
    gankit.resume(home / "runs" / "run", data="folder:packed.zip", steps=4, quiet=True)
    ends_as_whole(home / "runs" / "run", home / "runs" / "whole")


def test_reconstructions_find_moved_images(home, tiny, tmp_path, monkeypatch, cli):
    from tiny import fitted

    options = {name: value for name, value in fitted("vae", tiny).items() if name != "limit"}
    run = gankit.train("vae", out=home / "runs" / "vae", data="folder:photos", steps=1, **options)
    before = cli("reconstruct", run.root, "--json", "-o", tmp_path / "a.png")
    (tmp_path / "bob").mkdir()
    moved = home.rename(tmp_path / "bob" / "project")
    monkeypatch.chdir(tmp_path)
    after = cli("reconstruct", moved / "runs" / "vae", "--json", "-o", tmp_path / "b.png")
    named = cli(
        "reconstruct",
        moved / "runs" / "vae",
        "--data",
        f"folder:{moved / 'photos'}",
        "--json",
        "-o",
        tmp_path / "c.png",
    )
    errors = [json.loads(each.stdout)["error"] for each in (before, after, named)]
    assert errors[0] == errors[1] == errors[2]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_model_that_reads_images_is_drawn_from_after_a_move(tmp_path, tiny, monkeypatch, cli):
    home = tmp_path / "ann"
    for domain, offset in (("trainA", 0), ("trainB", 100)):
        (home / "pairs" / domain).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), offset + 9 * i).save(home / "pairs" / domain / f"{i}.png")
    monkeypatch.chdir(home)
    run = home / "run"
    del tiny["limit"]
    gankit.train("cyclegan", data="unpaired:pairs", out=run, steps=2, **tiny)
    before = gankit.Run(run).sample(4)
    moved = home.rename(tmp_path / "bob")
    monkeypatch.chdir(tmp_path)
    assert torch.equal(gankit.Run(moved / "run").sample(4), before)
    (moved / "pairs").rename(tmp_path / "renamed")
    with pytest.raises(gankit.UsageError, match="--data NAME:PATH"):
        gankit.Run(moved / "run").sample(4)
    assert torch.equal(gankit.Run(moved / "run", data="unpaired:renamed").sample(4), before)
    done = cli("sample", moved / "run", "--data", "unpaired:renamed", "-n", 4, "-o", tmp_path / "s.png")
    assert done.exit_code == 0, done.output
    gankit.resume(moved / "run", data="unpaired:renamed", quiet=True)  # a finished run remembers it, too
    assert torch.equal(gankit.Run(moved / "run").sample(4), before)


def test_a_place_that_cannot_be_looked_into_is_passed_over(home, monkeypatch, tmp_path):
    run = home / "runs" / "run"
    values = json.loads((run / "config.json").read_text())
    (tmp_path / "a file").touch()
    values |= {"data at": f"folder:{tmp_path / 'a file' / 'photos'}", "folder": "\x00", "data from here": 5}
    (run / "config.json").write_text(json.dumps(values))
    gankit.resume(run, steps=4, quiet=True)
    ends_as_whole(run, home / "runs" / "whole")


def test_the_training_keeps_on_calling_its_images_what_they_were_called(home, tmp_path, monkeypatch, tiny):
    judged = {"evaluate_every": 2, "metric": "swd", "evaluate_images": 10}
    for name, steps in (("judged", 2), ("judged whole", 4)):
        gankit.train("dcgan", out=home / "runs" / name, data="folder:photos", steps=steps, **judged, **tiny)
    moved = home.rename(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    gankit.resume(moved / "runs" / "judged", steps=4, quiet=True)
    records = [(moved / "runs" / name / "evaluations.jsonl").read_bytes() for name in ("judged", "judged whole")]
    assert records[0] == records[1]
