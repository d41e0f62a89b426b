"""`train --init-from`: starting from trained weights, as far as they fit, with a table of what was taken."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image
from tiny import fitted

import gankit
from gankit.core import checkpoint


def config(run):
    return json.loads((run.root / "config.json").read_text())


def weights(run, step=None):
    found = gankit.Run(run.root).chosen(str(step) if step is not None else "last")[0]
    return checkpoint.under(found, "model/")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from tiny import TINY

    return gankit.train("dcgan", out=tmp_path_factory.mktemp("trained") / "run", steps=3, **TINY)


def test_a_run_starts_from_the_weights_of_another_and_says_so(trained, tmp_path, tiny, capsys):
    tiny["quiet"] = False
    run = gankit.train("dcgan", out=tmp_path / "run", init_from=str(trained.root), steps=1, **tiny)
    start, source = weights(run, 0), weights(trained)
    assert all(torch.equal(start[name], source[name]) for name in source)
    assert config(run)["initial"]["from"] == str(trained.root)
    assert config(run)["initial"]["digest"] == checkpoint.digest(source, "")
    assert (config(run)["initial"]["taken"], config(run)["initial"]["not taken"]) == (len(source), {})
    said = capsys.readouterr().err
    for network in ("generator", "discriminator"):
        count = sum(name.startswith(network) for name in source)
        assert f"{network}  " in said
        assert f"{count} of {count} tensors taken" in said


def test_what_differs_in_shape_stays_as_it_was_drawn(trained, tmp_path, tiny):
    alone = gankit.train("dcgan", out=tmp_path / "alone", steps=1, **{**tiny, "nz": 5})
    run = gankit.train(
        "dcgan", out=tmp_path / "run", init_from=str(trained.root), steps=1, checkpoint_every=1, **{**tiny, "nz": 5}
    )
    left = config(run)["initial"]["not taken"]
    assert len(left) == 1
    ((name, why),) = left.items()
    there, here = list(weights(trained)[name].shape), list(weights(run)[name].shape)
    assert (why, there[1], here[1]) == (f"{there} there, {here} here", 4, 5)
    from gankit.build import build_model

    drawn = build_model(alone.config, alone.spec).state_dict()[name]
    assert torch.equal(weights(run, 0)[name], drawn)


def test_other_numbers_of_classes_keep_all_but_what_the_classes_made(tmp_path, tiny):
    def photos(root, classes):
        for label in range(classes):
            (root / str(label)).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (8, 8), 30 * i + 7 * label).save(root / str(label) / f"{i}.png")
        return f"folder:{root}"

    options = {name: value for name, value in tiny.items() if name != "limit"}
    three = gankit.train("cwgan-gp", data=photos(tmp_path / "a", 3), out=tmp_path / "three", steps=2, **options)
    two = gankit.train(
        "cwgan-gp", data=photos(tmp_path / "b", 2), out=tmp_path / "two", steps=1, init_from=str(three.root), **options
    )
    about = config(two)["initial"]
    assert about["taken"] >= 4
    assert about["not taken"]
    start, source = weights(two, 0), weights(three)
    for name, tensor in start.items():
        assert torch.equal(tensor, source[name]) == (name not in about["not taken"])


@pytest.mark.parametrize("arch", ["dcgan", "mlp"])
def test_an_exported_generator_is_taken_and_the_discriminator_drawn(arch, tmp_path, tiny):
    pytest.importorskip("safetensors")
    from gankit.runs.export import export

    raw = {"arch": arch, "ema_halflife_images": 0}  # an export is of the average where there is one
    source = gankit.train("dcgan", out=tmp_path / "source", steps=2, **{**tiny, **raw})
    file = export(gankit.Run(source.root), tmp_path / "generator.safetensors")
    run = gankit.train("wgan-gp", out=tmp_path / "run", init_from=str(file), steps=1, **{**tiny, "arch": arch})
    start, there = weights(run, 0), weights(source)
    generator = [name for name in start if name.startswith("generator.")]
    assert all(torch.equal(start[name], there[name]) for name in generator)
    assert {name.partition(".")[0] for name in config(run)["initial"]["not taken"]} == {"discriminator"}


def test_an_autoencoder_starts_from_trained_weights(tmp_path, tiny):
    one = gankit.train("vae", out=tmp_path / "one", steps=2, **fitted("vae", tiny))
    two = gankit.train("vae", out=tmp_path / "two", steps=1, init_from=str(one.root), **fitted("vae", tiny))
    start, source = weights(two, 0), weights(one)
    assert all(torch.equal(start[name], source[name]) for name in source)


def test_a_pool_of_old_images_is_not_taken(tmp_path, tiny):
    options = {**tiny, "data": "stripes"}
    one = gankit.train("cyclegan", out=tmp_path / "one", steps=2, **options)
    two = gankit.train("cyclegan", out=tmp_path / "two", steps=1, init_from=str(one.root), **options)
    assert any("pool" in name and weights(one)[name].any() for name in weights(one))
    assert not any(weights(two, 0)[name].any() for name in weights(two, 0) if "pool" in name)


@pytest.mark.parametrize("left", ["its first checkpoint", "nothing but its configuration"])
def test_a_run_from_trained_weights_that_was_killed_ends_as_one_that_was_not(left, trained, tmp_path, tiny):
    run = gankit.train("dcgan", out=tmp_path / "run", init_from=str(trained.root), steps=4, **tiny)
    killed = shutil.copytree(run.root, tmp_path / "killed")
    for path in gankit.Run(killed).checkpoints():
        if left != "its first checkpoint" or int(path.stem):
            path.unlink()
    gankit.resume(killed, quiet=True)
    ours, theirs = weights(gankit.Run(killed)), weights(run)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (killed / "metrics.jsonl").read_bytes() == (run.root / "metrics.jsonl").read_bytes()


def test_a_source_that_changed_since_is_not_started_from_again(trained, tmp_path, tiny):
    source = shutil.copytree(trained.root, tmp_path / "source")
    run = gankit.train("dcgan", out=tmp_path / "run", init_from=str(source), steps=2, **tiny)
    gankit.resume(source, steps=5, quiet=True)
    for path in run.checkpoints():
        path.unlink()
    with pytest.raises(gankit.UsageError, match="no longer holds the weights"):
        gankit.resume(run.root, quiet=True)


@pytest.mark.parametrize("source", ["nothing", "picture.png", "empty", "other"])
def test_what_no_weights_can_be_taken_from_is_refused_before_anything_is_written(source, tmp_path, tiny):
    path = tmp_path / source
    if source == "picture.png":
        Image.new("L", (8, 8)).save(path)
    if source == "empty":
        path.mkdir()
    if source == "other":
        gankit.train("vae", out=path, steps=1, **fitted("vae", tiny))
    with pytest.raises(gankit.UsageError, match=r"--init-from .*(neither a run folder nor|none of its tensors)"):
        gankit.train("dcgan", out=tmp_path / "run", init_from=str(path), steps=1, **tiny)
    assert not (tmp_path / "run").exists()
