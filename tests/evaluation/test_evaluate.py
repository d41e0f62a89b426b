"""`gankit evaluate` and the evaluations of a training: figures with their protocol, the cache, the best checkpoint."""

from __future__ import annotations

import json
import re
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from judging import Brightness, Planned, offer
from paths import ROOT
from tiny import fitted

import gankit
import gankit.build
import gankit.core.images
import gankit.data.catalogue
import gankit.evaluation.score
from gankit import ImageSet, Run, Score, UsageError
from gankit.core import checkpoint
from gankit.evaluation import evaluate as evaluation
from gankit.evaluation import reference
from gankit.evaluation.score import differences, table
from gankit.models import Conditional
from gankit.registry import registry

DOCS = ROOT / "docs" / "plugins.md"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    offer(monkeypatch, "extractors", "brightness", Brightness)
    Brightness.looked_at = 0


JUDGED = {"evaluate_images": 30, "extractor": "brightness", "metric": "fid,kid,swd"}


def lines(root):
    return [json.loads(line) for line in (root / "evaluations.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("halflife", [0, 1000])
def test_figures_of_a_training_are_those_of_evaluating_its_checkpoint(halflife, tmp_path, tiny, cli):
    root = tmp_path / "run"
    options = {**JUDGED, **tiny, "lr_g": 0.1, "ema_halflife_images": halflife}
    gankit.train("dcgan", out=root, steps=6, checkpoint_every=3, evaluate_every=3, **options)
    trained = lines(root)
    assert [(row["metric"], row["step"]) for row in trained] == [(m, s) for s in (3, 6) for m in ("fid", "kid", "swd")]
    args = ["--metric", "fid,kid", "--metric", "swd", "--extractor", "brightness", "--images", 30, "--json"]
    for step in (3, 6):
        result = cli("evaluate", root, *args, "--checkpoint", step)
        assert result.exit_code == 0, result.output
        for found, row in zip(json.loads(result.stdout), [r for r in trained if r["step"] == step], strict=True):
            assert found.pop("subject") == str(root)
            assert found == {**row, "by": "evaluate"}
    assert len(lines(root)) == 12  # those of `gankit evaluate` are added
    protocol = trained[0]["protocol"]
    assert set(protocol) == set(gankit.evaluation.score.PROTOCOL)
    found = [protocol[name] for name in ("averaged", "fake", "real", "weights")]
    assert found == [halflife > 0, 30, 40, "0"]
    assert trained[2]["protocol"]["extractor"] is None  # the sliced distance looks at pixels


def test_a_run_a_folder_and_an_array_of_the_same_images_have_the_same_figures(finished, tmp_path, cli):
    images = Run(finished).sample(20)
    gankit.save(images, tmp_path / "array.npy")
    gankit.save(images, tmp_path / "folder")
    data = ["--data", "shapes", "--extractor", "brightness", "--metric", "fid,kid,swd", "--json"]
    found = [json.loads(cli("evaluate", tmp_path / name, *data).stdout) for name in ("array.npy", "folder")]
    assert [f["value"] for f in found[0]] == [f["value"] for f in found[1]]
    assert [f["protocol"] for f in found[0]] == [f["protocol"] for f in found[1]]
    assert found[0][0]["protocol"]["averaged"] is None
    np.save(tmp_path / "flat.npy", np.load(tmp_path / "array.npy")[..., 0])  # [N,H,W] goes, too
    flat = json.loads(cli("evaluate", tmp_path / "flat.npy", *data).stdout)
    assert [f["value"] for f in flat] == [f["value"] for f in found[0]]


def test_real_images_are_looked_at_once_and_again_when_anything_changes(finished, monkeypatch):
    def looked():
        Brightness.looked_at = 0
        gankit.evaluate(finished, "fid,precision,swd", extractor="brightness", images=10)
        return Brightness.looked_at

    root = finished.parent / "evaluated"
    shutil.copytree(finished, root)
    finished = root
    assert looked() == 40 + 10
    assert looked() == 10
    folder = Path(gankit.data.catalogue.cache_folder()) / "statistics"
    for path in folder.glob("*.pt"):
        path.write_bytes(b"torn")
    assert looked() == 40 + 10
    monkeypatch.setattr(Brightness, "digest", "1")
    assert looked() == 40 + 10
    monkeypatch.setattr(reference, "VERSION", 99)
    assert looked() == 40 + 10


def figure(value=1.0, **changes):
    protocol = dict.fromkeys(gankit.evaluation.score.PROTOCOL) | {"extractor": "x", "fake": 10, "real": 40} | changes
    return Score("fid", value, "lower", protocol, "run")


def test_figures_of_different_protocols_are_not_compared():
    assert figure(1.0).beats(figure(2.0))
    assert not figure(2.0).beats(figure(1.0))
    with pytest.raises(UsageError, match="different protocols cannot be compared: fake 10, 20"):
        figure().beats(figure(fake=20))
    for name in gankit.evaluation.score.PROTOCOL:
        assert len(differences(figure(), figure(**{name: "other"}))) == 1
    assert any("not to be compared" in line for line in table([figure(), figure(fake=20)]))
    assert not any("not to be compared" in line for line in table([figure(), figure(2.0)]))


def test_samples_side_by_side_say_where_their_protocols_differ(finished, tmp_path, cli):
    for n in (20, 12):
        gankit.save(Run(finished).sample(n), tmp_path / f"{n}.npy")
    result = cli("evaluate", tmp_path / "20.npy", tmp_path / "12.npy", "--data", "shapes", "--metric", "swd")
    assert result.exit_code == 0, result.output
    assert "not to be compared" in result.stdout
    assert "fake 20, 12" in result.stdout
    assert "20 samples, against 10000 of shapes train" in result.stdout


def final(root):
    tensors, _ = checkpoint.load(sorted((root / "checkpoints").glob("*.pt"))[-1])
    return tensors


@pytest.mark.parametrize("variant", ["dcgan", "cyclegan"])
def test_a_run_that_is_judged_ends_as_one_that_is_not(variant, tmp_path, tiny):
    options = {**tiny, "dropout": 0.5, "ema_halflife_images": 20}
    roots = [tmp_path / name for name in ("judged", "not")]
    judged = {"evaluate_images": 30, "metric": "swd"}
    gankit.train(variant, out=roots[0], steps=5, evaluate_every=1, **judged, **options)
    gankit.train(variant, out=roots[1], steps=5, **options)
    one, other = map(final, roots)
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert (roots[0] / "metrics.jsonl").read_bytes() == (roots[1] / "metrics.jsonl").read_bytes()


def planned(monkeypatch, better, *values):
    offer(monkeypatch, "metrics", "planned", Planned)
    monkeypatch.setattr(Planned, "values", list(values))
    monkeypatch.setattr(Planned, "better", better)
    return {**JUDGED, "metric": "planned,swd", "evaluate_images": 4}


@pytest.mark.parametrize(("better", "best", "kept"), [("lower", 4, [4, 9, 12]), ("higher", 10, [10, 12])])
def test_the_best_checkpoint_is_kept_and_found(better, best, kept, tmp_path, tiny, monkeypatch, cli):
    judged = planned(monkeypatch, better, 3.0, 1.0, 2.0, 2.5, 4.0, 3.5)
    run = gankit.train("dcgan", out=tmp_path / "run", steps=12, checkpoint_every=3, evaluate_every=2, **judged, **tiny)
    assert json.loads((run.root / "checkpoints" / "index.json").read_text())["best"]["step"] == best
    assert [int(path.stem) for path in run.checkpoints()] == kept
    sampled = [run.sample(4, checkpoint=which) for which in ("best", str(best), "last")]
    assert torch.equal(sampled[0], sampled[1])
    assert not torch.equal(sampled[0], sampled[2])
    assert cli("sample", run.root, "--checkpoint", "best", "-o", tmp_path / "best.npy").exit_code == 0
    refused = cli("sample", run.root, "--checkpoint", "7", "-o", tmp_path / "s.npy")
    assert refused.exit_code == 2
    assert "has those of steps" in refused.stderr


def test_a_run_without_evaluations_has_no_best_checkpoint(finished, cli, tmp_path):
    refused = cli("sample", finished, "--checkpoint", "best", "-o", tmp_path / "s.npy")
    assert refused.exit_code == 2
    assert "--evaluate-every N" in refused.stderr


def test_a_run_killed_before_its_index_was_written_is_put_right(tmp_path, tiny, monkeypatch):
    judged = planned(monkeypatch, "lower", 3.0, 1.0, 2.0, 5.0)
    run = gankit.train("dcgan", out=tmp_path / "run", steps=6, checkpoint_every=2, evaluate_every=2, **judged, **tiny)
    folder = run.root / "checkpoints"
    shutil.copy(folder / "000004.pt", folder / "000002.pt")  # the best before, which was to be deleted then
    evaluation.files.write_json(folder / "index.json", {"best": {"step": 2, "metric": "planned", "value": 3.0}})
    gankit.resume(run.root, quiet=True)
    assert Run(run.root).best_step() == 4
    assert [int(path.stem) for path in run.checkpoints()] == [4, 6]
    gankit.resume(run.root, steps=8, quiet=True)
    assert [row["value"] for row in lines(run.root) if row["metric"] == "planned"] == [3.0, 1.0, 2.0, 5.0]


def test_resuming_cuts_the_evaluations_back_and_takes_them_again(tmp_path, tiny):
    judged = {**JUDGED, "metric": "fid"}
    run = gankit.train("dcgan", out=tmp_path / "run", steps=8, checkpoint_every=2, evaluate_every=2, **judged, **tiny)
    before = (run.root / "evaluations.jsonl").read_bytes()
    for path in run.checkpoints():
        if int(path.stem) > 6:
            path.unlink()
    with (run.root / "evaluations.jsonl").open("a") as file:
        file.write('{"torn')
    gankit.resume(run.root, quiet=True)
    assert (run.root / "evaluations.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"metric": "fud"}, "unknown metric 'fud': did you mean 'fid'"),
        ({"metric": "fid,"}, "names, separated by commas"),
        ({"extractor": "inceptoin"}, "did you mean 'inception'"),
        ({"metric": "class-accuracy"}, "dcgan draws samples of no class asked for"),
        ({"metric": "code-purity"}, "dcgan has no categorical code"),
        ({"metric": "class-balance", "extractor": "inception"}, "needs classes, which --extractor inception does not"),
        ({"extractor": "classifier", "data": "stripes"}, "labels, which stripes has none of"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_written(flags, said, tmp_path, tiny):
    with pytest.raises(UsageError, match=re.escape(said)):
        gankit.train("dcgan", out=tmp_path / "run", steps=2, **{"evaluate_every": 1, **JUDGED, **tiny, **flags})
    assert not (tmp_path / "run").exists()


class Painter(gankit.Variant):
    """Paints the class it is asked for: black, grey, white."""

    name, summary, paper = "painter", "for tests", "none"
    Options = gankit.AdversarialOptions
    wrong = 0

    def build(self, options, spec):
        painter = self

        class Model(registry().get("variants", "dcgan")().build(options, spec).__class__):
            def noise(self, phase, n, draws):
                noise = super().noise(phase, n, draws)
                return {**noise, "labels": draws.integers(3, n)} if phase == "sample" else noise

            def sample(self, noise, batch=None):
                return (noise["labels"] * 2.0 / 3 - 2 / 3)[:, None, None, None].expand(-1, 1, 8, 8) - painter.wrong

        return Model(registry().get("variants", "dcgan").Options(**vars(options)), spec)


def test_class_accuracy_reads_the_labels_that_samples_were_drawn_with(tmp_path, tiny, monkeypatch):
    offer(monkeypatch, "variants", "painter", Painter)
    judged = {**JUDGED, "metric": "class-accuracy,class-balance", "evaluate_images": 600}
    run = gankit.train("painter", out=tmp_path / "run", steps=1, evaluate_every=1, **judged, **tiny)
    accuracy, balance = (row["value"] for row in lines(run.root))
    assert accuracy == 1
    assert 0.99 < balance < 1
    monkeypatch.setattr(Painter, "wrong", 2 / 3)  # one class too dark: only black stays as asked
    accuracy = gankit.evaluate(run.root, "class-accuracy", extractor="brightness", images=600)[0].value
    assert 0.25 < accuracy < 0.42


class Coder(gankit.Variant):
    """Paints what its code says, in shades of its own: 0 white, 1 black, 2 grey."""

    name, summary, paper = "coder", "for tests", "none"
    Options = gankit.AdversarialOptions
    shades = (0.7, -0.7, 0.0)

    def build(self, options, spec):
        shades = torch.tensor(self.shades)

        class Model(registry().get("variants", "dcgan")().build(options, spec).__class__, Conditional):
            conditions = {"any": 0, "shade": 3}

            def noise(self, phase, n, draws):
                noise = super().noise(phase, n, draws)
                return {**noise, "shade": draws.integers(3, n)} if phase == "sample" else noise

            def sample(self, noise, batch=None):
                return shades[noise["shade"]][:, None, None, None].expand(-1, 1, 8, 8)

        return Model(registry().get("variants", "dcgan").Options(**vars(options)), spec)


def test_code_purity_reads_the_code_that_samples_were_drawn_with(tmp_path, tiny, monkeypatch):
    offer(monkeypatch, "variants", "coder", Coder)
    judged = {**JUDGED, "metric": "code-purity", "evaluate_images": 600}
    run = gankit.train("coder", out=tmp_path / "run", steps=1, evaluate_every=1, **judged, **tiny)
    assert [row["value"] for row in lines(run.root)] == [1]
    monkeypatch.setattr(Coder, "shades", (0.7, 0.7, 0.0))  # two values of one class: one of them stands for nothing
    purity = gankit.evaluate(run.root, "code-purity", extractor="brightness", images=600)[0].value
    assert 0.6 < purity < 0.73


def test_reconstruct_counts_the_images_whose_class_is_seen_again(tmp_path, tiny, monkeypatch, cli):
    run = gankit.train("vae", out=tmp_path / "run", steps=1, width=2, **fitted("vae", tiny))
    images = gankit.build.load_images(run.config).images[:30]
    bright = images.float().mean((1, 2, 3))
    shown = 200 / 127.5 - 1  # every reconstruction is of the third class
    monkeypatch.setattr(
        "gankit.models.interface.Encoder.reconstruct", lambda self, images: torch.full_like(images, shown)
    )
    args = ["reconstruct", run.root, "--judge", 30, "--extractor", "brightness", "-o", tmp_path / "pairs.png"]
    found = json.loads(cli(*args, "--json").stdout)["same class"]
    assert found == float((bright > 169.5).float().mean())
    assert f"same class seen in {found:.3f} of 30" in cli(*args).stdout
    assert "does not see the data set's classes" in cli(*args, "--extractor", "inception").stderr


def test_class_folders_are_the_labels_of_samples(tmp_path, cli):
    for name, level in (("circle", 40), ("square", 130), ("triangle", 210)):
        gankit.save(torch.full((5, 1, 8, 8), level / 127.5 - 1), tmp_path / "samples" / name)
    args = ["--data", "shapes", "--metric", "class-accuracy", "--extractor", "brightness", "--json"]
    assert json.loads(cli("evaluate", tmp_path / "samples", *args).stdout)[0]["value"] == 1
    (tmp_path / "samples" / "square").rename(tmp_path / "samples" / "other")
    assert "these have no labels" in cli("evaluate", tmp_path / "samples", *args).stderr


def test_a_run_that_maps_images_is_judged_in_both_directions(tmp_path, tiny):
    run = gankit.train("cyclegan", out=tmp_path / "run", steps=1, **tiny)
    there, back = gankit.evaluate(run.root, "swd", images=12)
    images = gankit.build.load_images(run.config)
    assert (there.metric, back.metric) == ("swd a2b", "swd b2a")
    assert there.protocol["images"] == ImageSet(images.other).digest()
    assert back.protocol["images"] == ImageSet(images.images).digest()


def test_a_larger_real_image_is_compared_by_its_middle(tmp_path, tiny):
    run = gankit.train("dcgan", out=tmp_path / "run", steps=1, **{**tiny, "size": 12, "crop": 8})
    (found,) = gankit.evaluate(run.root, "swd", images=12)
    images = gankit.build.load_images(run.config).images
    assert found.protocol["images"] == ImageSet(images[:, :, 2:10, 2:10], *shapes_labels(run)).digest()
    assert found.protocol["size"] == 8


def shapes_labels(run):
    images = gankit.build.load_images(run.config)
    return images.labels, images.classes


def test_a_run_on_a_programs_images_says_what_to_compare_it_with(tmp_path, tiny):
    images = ImageSet(gankit.RandomStream(0, "own").integers(256, 30, 1, 8, 8).to(torch.uint8))
    judged = {"evaluate_images": 30, "metric": "swd"}
    run = gankit.train("dcgan", images=images, out=tmp_path / "run", steps=2, evaluate_every=2, **judged, **tiny)
    assert lines(run.root)[0]["protocol"]["data"] == "images of a program"
    with pytest.raises(UsageError, match="--data NAME"):
        gankit.evaluate(run.root, "swd", images=4)
    assert gankit.evaluate(run.root, "swd", data="shapes", images=4)[0].value > 0


def test_the_metric_and_the_extractor_of_the_documentation_work(finished, tmp_path, monkeypatch, cli):
    classes, hooks = re.findall(r"```python\n(.*?)```", DOCS.read_text().partition("## A metric")[2], re.DOTALL)
    for name, code in (("gan_rows", classes), ("gan_rows_plugin", hooks)):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(code, module.__dict__)
    before = {kind: dict(entries) for kind, entries in registry().entries.items()}
    registry().add(sys.modules["gan_rows_plugin"], "gan-rows 1.0")
    try:
        images = Run(finished).sample(16)
        gankit.save(images, tmp_path / "s.npy")
        args = ["--data", "shapes", "--metric", "mean-gap", "--extractor", "rows", "--json"]
        (found,) = json.loads(cli("evaluate", tmp_path / "s.npy", *args).stdout)
    finally:
        registry().manager.unregister(name="gan-rows 1.0")
        del registry().plugins["gan-rows 1.0"]
        registry().entries.update(before)
    fake = np.load(tmp_path / "s.npy").astype(float).mean((2, 3)).mean(0)
    shapes = gankit.build.load_images(
        gankit.Config.from_dict({"variant": "dcgan", "data": {"data": "shapes", "size": 8, "channels": 1}})
    )
    real = shapes.images.double().mean((1, 3)).mean(0).numpy()
    assert found["value"] == pytest.approx(np.linalg.norm(fake - real), rel=1e-4)
    assert found["protocol"]["weights"] == "rows 1"
