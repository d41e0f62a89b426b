"""`make marks` in short: every variant learns something on drawn shapes, by the same code and the same measures."""

from __future__ import annotations

from dataclasses import replace

import marks
import pytest
import torch

from gankit import Run, UsageError
from gankit.cli.train import variant_command
from gankit.config import configure
from gankit.inference import reconstruct as encoding
from gankit.registry import registry

SHAPES = {
    "data": "shapes", "size": 12, "channels": 1, "limit": 1200, "precision": "fp32", "epochs": None, "engine": "eager",
    "samples": 4,
}  # fmt: skip
SMALL = {"ngf": 8, "ndf": 16, "nz": 8, "lr_g": 1e-3, "lr_d": 1e-3, "batch_size": 32, "steps": 300}
MLP = {**SMALL, "arch": "mlp", "discriminator_norm": "none"}
SHORT = {
    "gan": MLP,
    "dcgan": SMALL,
    "lsgan": SMALL,
    "wgan": {**MLP, "steps": 100, "warmup": 0},
    "wgan-gp": {**MLP, "steps": 100},
    "cgan": MLP,
    "cdcgan": {**SMALL, "steps": 600},
    "cwgan": {**MLP, "steps": 100, "warmup": 0},
    "cwgan-gp": {**MLP, "steps": 100},
    "acgan": {**SMALL, "nz": 32, "embedding_width": 10},
    "infogan": {**SMALL, "categories": 3, "nz": 2, "lr_g": 2e-3, "steps": 500},
    "bigan": {**SMALL, "size": 16},
    "vae": {"width": 8, "nz": 8, "steps": 50},
    "vq-vae": {"width": 8, "steps": 30},
}
LEARNT = {"class-balance": 0.65, "class-accuracy": 0.5, "code-purity": 0.48}
"""More than two of three classes; more than a third right, which blind draws are; and more than the 0.44 that codes
nobody reads came to at best in three seeds. Three seeds of gan, wgan, cgan, cdcgan, acgan and infogan came to at least
0.77, 0.66 and 0.58.
"""


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch):
    """Shapes are easy: a classifier of theirs needs fewer steps than one of clothes."""
    monkeypatch.setattr("gankit.plugins.extractors.classifier.STEPS", 150)


def short(variant, root):
    """The rows of a run of a few seconds, by the code that `make marks` runs."""
    task = replace(marks.TASKS[variant], options={})
    return marks.measured(variant, task, 0, root, 600, {**SHAPES, **SHORT[variant]})


@pytest.mark.parametrize("variant", [name for name in SHORT if name != "bigan"])
def test_a_short_training_learns_what_the_mark_measures(variant, tmp_path):
    row, *more = short(variant, tmp_path / "run")
    assert row["metric"] == marks.TASKS[variant].metric
    if row["metric"] == "class-accuracy":  # one image a class has no variance
        assert [(each["metric"], each["value"] > 0.1) for each in more] == [("variance within a class", True)]
    assert row["value"] <= 0.6 if marks.TASKS[variant].most else row["value"] >= LEARNT[row["metric"]]


def test_a_short_training_teaches_a_bigans_encoder_where_latents_are_and_which_is_an_images_own(tmp_path):
    """Seconds do not suffice for classes. With z joined to D's features as it is, the codes deviated by 1.6 to 3.2 in
    three seeds, where that of the latents is 0.58, and reconstructions were as near to their image as to any other.
    """
    row, *probes = short("bigan", tmp_path / "run")
    assert row["metric"] == "same class"
    assert 0 < row["value"] < 1
    assert [each["metric"] for each in probes[::3]] == [
        f"probe linear of {name}" for name in ("encoder", "untrained encoder", "pixels")
    ]
    run = Run(tmp_path / "run")
    model = run.load()
    images = torch.cat(encoding.batches(model, encoding.images_of(run, "test", 250).images, run.spec.size))
    with torch.no_grad():
        made = model.reconstruct(images)
    assert 0.3 < float(model.encode(images).std()) < 1.2
    assert float((made - images).square().mean()) < 0.92 * float((made.roll(1, 0) - images).square().mean())


def test_the_variance_within_classes_is_that_of_images_where_samples_are_images(tmp_path, monkeypatch):
    run = marks.trained("cgan", {**SHAPES, **SHORT["cgan"], "steps": 1}, tmp_path / "run")
    real = encoding.images_of(run)
    some = [real.images[real.labels == label][:100] for label in range(3)]
    drawn = torch.stack(some, 1).flatten(0, 1) / 127.5 - 1  # class by class in turn, as `Run.sample` gives them
    for scale in (1, 0.5, 0):
        monkeypatch.setattr(Run, "sample", lambda self, n, classes, by=scale: by * drawn)
        assert marks.within_class(run, 100) == pytest.approx(scale**2, abs=0.1 * scale)


def test_a_mark_is_an_upper_bound_for_errors_and_a_lower_one_for_all_else_and_takes_no_longer_than_allowed():
    least, most = marks.Task({}, "class-accuracy", 0.8), marks.Task({}, "squared error", most=0.2)
    assert [least.holds(value, 100) for value in (0.79, 0.8, 0.81)] == [False, True, True]
    assert [most.holds(value, 100) for value in (0.19, 0.2, 0.21)] == [True, True, False]
    assert not least.holds(1, marks.LIMIT + 1)


def test_every_variant_but_the_translator_has_a_mark_and_a_command_that_can_be_typed():
    assert set(marks.TASKS) == set(SHORT) == set(registry().names("variants")) - {"cyclegan"} - marks.UNMEASURED
    for variant, task in marks.TASKS.items():
        config = configure(variant, {**marks.COMMON, **task.options})
        words = marks.command(variant, {**marks.COMMON, **task.options}).split()
        context = variant_command(variant).make_context(variant, words[3:])
        typed = {name: value for name, value in context.params.items() if value is not None}
        assert configure(variant, {name: typed[name] for name in ("preset", *task.options)}).options == config.options


def test_a_run_with_other_options_is_not_taken_for_the_marks_own(tmp_path):
    options = {**SHAPES, **SHORT["gan"], "steps": 2}
    run = marks.trained("gan", options, tmp_path / "run")
    assert marks.trained("gan", options, tmp_path / "run").root == run.root
    with pytest.raises(UsageError, match="other options"):
        marks.trained("gan", {**options, "lr_g": 1e-4}, tmp_path / "run")


def test_the_table_keeps_other_rows_and_replaces_those_of_the_same_run(tmp_path):
    def row(variant, seed, value):
        return dict.fromkeys(marks.COLUMNS, "") | {"variant": variant, "seed": seed, "value": value}

    path = tmp_path / "marks.csv"
    marks.at(path, [row("vae", 0, 1), row("gan", 0, 2)])
    marks.at(path, [row("vae", 0, 3), row("vae", 1, 4)])
    rows = [line.split(",") for line in path.read_text().splitlines()]
    at = rows[0].index("value")
    assert [(line[0], line[1], line[at]) for line in rows[1:]] == [
        ("gan", "0", "2"), ("vae", "0", "3"), ("vae", "1", "4"),
    ]  # fmt: skip
