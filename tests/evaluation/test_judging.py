"""That what is judged is what one thinks is judged: the choice of files, class shares, directions, splits, notes."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from judging import Brightness, Planned, offer
from PIL import Image

import gankit
from gankit import ImageSet, RandomStream, Score, UsageError
from gankit.data.catalogue import DataOptions
from gankit.evaluation import evaluate as evaluation
from gankit.evaluation.judge import Judge, caution
from gankit.evaluation.samples import Asked, Drawn, choice, of_folder, sample_sources
from gankit.evaluation.score import differences, table
from gankit.evaluation.statistics import Moments
from gankit.models import Conditional
from gankit.models.label_embedding import labels_like
from gankit.plugins.extractors import classifier
from gankit.plugins.metrics.kid import cubic


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    offer(monkeypatch, "extractors", "brightness", Brightness)


def pictures(root, levels, mode="L", ending="png", size=8):
    """Noisy pictures of these brightnesses, numbered from 0 on."""
    root.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    for i, level in enumerate(levels):
        noise = RandomStream(0, str(root.name), i).integers(40, size, size, bands).numpy()
        pixels = (level + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels[..., 0] if bands == 1 else pixels).save(root / f"{i:05d}.{ending}")
    return root


def value(scores):
    (score,) = scores
    return score.value


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("layout", ["flat", "classes", "unbalanced"])
@pytest.mark.parametrize("metric", ["swd", "fid"])
def test_a_folder_judged_against_itself_is_nought(mode, layout, metric, tmp_path):
    sizes = {"flat": {"": 30}, "classes": {"a": 15, "b": 15}, "unbalanced": {"a": 4, "b": 26}}[layout]
    for name, count in sizes.items():
        pictures(tmp_path / "set" / name, range(0, 5 * count, 5), mode)
    options = {} if metric == "swd" else {"extractor": "brightness"}
    found = value(gankit.evaluate(tmp_path / "set", metric, data=f"folder:{tmp_path / 'set'}", **options))
    assert found == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_kid_of_a_folder_against_itself_is_below_nought_by_no_more_than_its_bias(mode, tmp_path):
    folder = pictures(tmp_path / "set", range(0, 150, 5), mode)
    (source,) = sample_sources(folder, Asked())
    x = Brightness(None)(next(source.batches(())).images).features.double()
    n, kernel = len(x), cubic(x, x)
    own = kernel.trace() / n  # of equal images, which no pair of different ones has
    found = value(gankit.evaluate(folder, "kid", data=f"folder:{folder}", extractor="brightness"))
    assert found == pytest.approx(float(2 / (n - 1) * (kernel.mean() - own)), rel=1e-6)


def test_the_order_of_samples_does_not_change_what_they_are_judged_to_be(tmp_path):
    folder = pictures(tmp_path / "set", range(0, 200, 5))
    array = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", array[RandomStream(i, "order").permutation(len(array)).numpy()])
        found = gankit.evaluate(tmp_path / f"{i}.npy", "swd,fid", data=f"folder:{folder}", extractor="brightness")
        assert [score.value for score in found] == pytest.approx([0, 0], abs=1e-6)


def test_fewer_images_of_a_folder_are_of_all_its_classes_by_their_share(tmp_path):
    pictures(tmp_path / "set" / "dark", [20] * 80)
    pictures(tmp_path / "set" / "light", [200] * 20)
    source = of_folder(tmp_path / "set", Asked(images=10))
    (batch,) = source.batches(("dark", "light"))
    assert torch.bincount(batch.labels).tolist() == [8, 2]
    assert source.seed == 0
    again = next(of_folder(tmp_path / "set", Asked(images=10)).batches(()))
    other = next(of_folder(tmp_path / "set", Asked(images=10, seed=1)).batches(()))
    assert torch.equal(batch.images, again.images)
    assert not torch.equal(batch.images, other.images)


def test_a_choice_has_of_each_group_its_share_and_never_only_the_first():
    groups = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    found = choice(groups, 10, 0)
    assert [sum(groups[i] == g for i in found) for g in "abc"] == [7, 2, 1]
    assert found == sorted(set(found))
    assert max(choice([""] * 1000, 100, 0)) > 900
    assert len(choice(["a", "b", "c"], 2, 0)) == 2
    assert choice(["a", "b"], 2, 5) == [0, 1]


def test_of_an_array_an_even_choice_is_judged(tmp_path):
    array = np.repeat(np.arange(100, dtype=np.uint8), 64).reshape(100, 8, 8)
    np.save(tmp_path / "a.npy", array)
    (source,) = sample_sources(tmp_path / "a.npy", Asked(images=20))
    (batch,) = source.batches(())
    levels = batch.images[:, 0, 0, 0].tolist()
    assert (len(levels), levels == sorted(levels), max(levels) > 60) == (20, True, True)


def test_folders_of_grey_and_colour_are_refused_with_the_number_of_each(tmp_path, cli):
    pictures(tmp_path / "set", [10] * 5)
    pictures(tmp_path / "set" / "z", [10] * 3, "RGB")
    refused = cli("evaluate", tmp_path / "set", "--data", "shapes", "--metric", "swd")
    assert refused.exit_code == 2
    assert "5 grey images and 3 in colour" in refused.stderr


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_channels_are_those_of_the_files(mode, channels, tmp_path):
    (tmp_path / "set").mkdir()
    for i in range(3):
        Image.new(mode, (8, 8)).save(tmp_path / "set" / f"{i}.png")
    assert of_folder(tmp_path / "set", Asked()).channels == channels


class Perfect(gankit.Variant):
    """Gives images of the class it is asked for that are the data's: class i is of brightness 60 + 100 i."""

    name, summary, paper = "perfect", "for tests", "none"
    Options = gankit.AdversarialOptions

    def build(self, options, spec):
        base = gankit.registry.registry().get("variants", "dcgan")

        class Model(base().build(options, spec).__class__, Conditional):
            conditions = {"class": spec.classes}

            def noise(self, phase, n, draws):
                noise = super().noise(phase, n, draws)
                if phase == "sample":
                    noise |= {"labels": draws.integers(spec.classes, n), "level": draws.integers(40, n, 1, 8, 8)}
                return noise

            def with_condition(self, noise, name, values):
                return {**noise, "labels": values}

            def sample(self, noise, batch=None):
                level = 60 + 100.0 * noise["labels"][:, None, None, None] + noise["level"]
                return level / 127.5 - 1

        return Model(base.Options(**vars(options)), spec)


def imbalanced(root):
    pictures(root / "common", [60] * 285)
    pictures(root / "rare", [160] * 15)
    return f"folder:{root}"


def test_a_perfect_sampler_of_imbalanced_data_is_as_good_as_the_other_half_of_the_data(tmp_path, tiny, monkeypatch):
    offer(monkeypatch, "variants", "perfect", Perfect)
    data = imbalanced(tmp_path / "set")
    options = {**tiny, "data": data, "limit": None, "evaluate_every": 1, "evaluate_images": 3000, "metric": "swd"}
    run = gankit.train("perfect", out=tmp_path / "run", steps=1, **options)
    halves = tmp_path / "half"
    for path in sorted((tmp_path / "set").rglob("*.png"))[::2]:
        (halves / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, halves / path.parent.name)
    half = value(gankit.evaluate(halves, "swd", data=data))
    as_data = gankit.evaluate(run.root, "swd", images=3000)
    even = gankit.evaluate(run.root, "swd", images=3000, class_shares="even")
    assert value(as_data) < half + 1
    assert value(even) > 20 * value(as_data)
    assert [scores[0].protocol["class shares"] for scores in (as_data, even)] == ["data", "even"]
    trained = json.loads((run.root / "evaluations.jsonl").read_text().splitlines()[0])
    assert (trained["value"], trained["protocol"]) == (value(as_data), as_data[0].protocol)
    assert differences(as_data[0], even[0]) == ["class shares data, even"]


def test_classes_are_as_frequent_as_their_counts():
    labels = labels_like((57, 3, 0, 40), 20_000, RandomStream(0, "labels"))
    share = torch.bincount(labels, minlength=4) / 20_000
    assert share.tolist() == pytest.approx([0.57, 0.03, 0, 0.4], abs=0.015)
    assert share[2] == 0


@pytest.mark.parametrize("variant", ["cdcgan", "acgan", "cwgan-gp"])
def test_every_conditional_variant_is_judged_by_the_datas_shares_with_and_without_counts(variant, tmp_path, tiny):
    options = {**tiny, "data": imbalanced(tmp_path / "set"), "limit": None}
    run = gankit.train(variant, out=tmp_path / "run", steps=1, **options)
    assert run.spec.class_counts == (285, 15)

    def labels(asked):
        (source,) = sample_sources(run.root, asked)
        found = torch.cat([batch.labels for batch in source.batches(())])
        return source.shares, float((found == 1).float().mean())

    new = labels(Asked(images=2000))
    assert new[0] == "data"
    assert new[1] == pytest.approx(0.05, abs=0.02)
    assert labels(Asked(images=2000, shares="even"))[1] == pytest.approx(0.5, abs=0.05)
    config = json.loads((run.root / "config.json").read_text())
    del config["spec"]["class_counts"]  # as older versions wrote it
    (run.root / "config.json").write_text(json.dumps(config))
    assert labels(Asked(images=2000)) == new
    shutil.rmtree(tmp_path / "set")
    assert labels(Asked(images=2000))[0] == "even"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_the_best_and_is_written_as_json(bad):
    for better in ("lower", "higher"):
        one, other = (Score("m", v, better, {}) for v in (bad, 3.0))
        assert not one.beats(other)
        assert other.beats(one)
        assert not one.beats(one)
    again = Score.from_dict(json.loads(json.dumps(one.as_dict(), allow_nan=False)))
    assert math.isnan(again.value)


def test_a_run_whose_first_score_is_not_finite_keeps_the_next(tmp_path, tiny, monkeypatch):
    offer(monkeypatch, "metrics", "planned", Planned)
    monkeypatch.setattr(Planned, "values", [math.nan, 5.0, math.nan, 7.0])
    monkeypatch.setattr(Planned, "better", "lower")
    options = {**tiny, "evaluate_images": 4, "metric": "planned", "extractor": "brightness"}
    run = gankit.train("dcgan", out=tmp_path / "run", steps=4, evaluate_every=1, checkpoint_every=1, **options)
    assert run.best_step() == 2


def test_scores_of_a_run_that_cannot_be_written_are_shown(tmp_path, tiny, cli):
    run = gankit.train("dcgan", out=tmp_path / "run", steps=1, **tiny)
    (run.root / "evaluations.jsonl").mkdir()
    for args in ([], ["--json"]):
        result = cli("evaluate", run.root, "--metric", "swd", "--images", 20, *args)
        assert result.exit_code == 0, result.output
        assert "swd" in result.stdout
        assert "Warning: the scores were not recorded" in result.stderr
    assert value(gankit.evaluate(run.root, "swd", images=20)) > 0


def test_a_cache_that_cannot_be_written_does_not_keep_scores_back(tmp_path, tiny, cli, monkeypatch):
    run = gankit.train("dcgan", out=tmp_path / "run", steps=1, **tiny)
    shutil.rmtree(tmp_path / "cache" / "statistics", ignore_errors=True)
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "statistics").write_text("in the way")
    result = cli("evaluate", run.root, "--metric", "swd", "--images", 20)
    assert "swd" in result.stdout, result.output
    assert "is not cached" in result.stderr


def test_few_samples_are_said_beside_the_score(tmp_path):
    folder = pictures(tmp_path / "set", range(0, 100, 5))
    fid, swd = gankit.evaluate(folder, "fid,swd", data=f"folder:{folder}", extractor="brightness")
    assert fid.note == swd.note == "only 20 samples; below 2,048 a value says more of their number than of the images"
    assert f"  note: {swd.note}" in table([swd])
    kept = Moments()
    kept.mean = torch.zeros(2048, dtype=torch.float64)
    assert "2000 samples for 2048 features" in caution(kept, 2000, 5000)
    assert caution(kept, 5000, 5000) == ""
    assert "only 100 real images" in caution(kept, 5000, 100)


def test_without_labels_and_a_named_metric_the_distance_of_pixels_is_taken_and_said(tmp_path, tiny, cli, capsys):
    folder = pictures(tmp_path / "set", range(0, 200, 5))
    result = cli("evaluate", folder, "--data", f"folder:{folder}")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("swd")
    assert "no labels to train the default extractor on" in result.stderr
    refused = cli("evaluate", folder, "--data", f"folder:{folder}", "--metric", "fid")
    assert "trained on labels" in refused.stderr
    options = {**tiny, "data": f"folder:{folder}", "limit": None, "evaluate_every": 1, "evaluate_images": 20}
    run = gankit.train("dcgan", out=tmp_path / "run", steps=1, **options)
    assert "no labels" in capsys.readouterr().err
    assert [row["metric"] for row in evaluation.files.read_lines(run.root / "evaluations.jsonl")] == ["swd"]
    assert run.best_step() == 1


def test_with_labels_the_default_is_fid_by_the_classifier(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 2)
    for name, level in (("a", 30), ("b", 200)):
        pictures(tmp_path / "set" / name, [level] * 20)
    (score,) = gankit.evaluate(tmp_path / "set", data=f"folder:{tmp_path / 'set'}")
    assert (score.metric, score.protocol["extractor"]) == ("fid", "classifier")


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory):
    """A CycleGAN on pictures whose training and test parts differ in brightness."""
    root = tmp_path_factory.mktemp("pair")
    for name, level in (("trainA", 20), ("trainB", 100), ("testA", 60), ("testB", 200)):
        pictures(root / "set" / name, [level] * 12)
    small = {"arch": "mlp", "size": 8, "channels": 1, "ngf": 2, "ndf": 2, "samples": 4, "quiet": True}
    return gankit.train("cyclegan", data=f"unpaired:{root / 'set'}", out=root / "run", steps=1, **small)


@pytest.mark.parametrize(("split", "levels"), [(None, (20, 100)), ("test", (60, 200))])
def test_a_split_is_that_of_sources_targets_and_real_images(split, levels, pair_run, monkeypatch):
    seen = {}

    def sample(self, noise, batch=None):
        seen["a2b"] = batch.images
        return batch.images

    def translate(self, images, direction, draws):
        seen[direction] = images
        return images

    monkeypatch.setattr(f"{type(pair_run.load()).__module__}.CycleGANModel.sample", sample)
    monkeypatch.setattr(f"{type(pair_run.load()).__module__}.CycleGANModel.translate", translate)
    scores = gankit.evaluate(pair_run.root, "swd", images=24, split=split)
    assert [score.metric for score in scores] == ["swd a2b", "swd b2a"]
    for direction, level in zip(("a2b", "b2a"), levels, strict=True):
        assert float((seen[direction] + 1).mean() * 127.5) == pytest.approx(level + 20, abs=5)
    gap = levels[1] - levels[0]  # images as they are, judged against the other domain
    assert [score.value for score in scores] == pytest.approx([gap, gap], rel=0.25)
    assert {score.protocol["split"] for score in scores} == {split or "train"}


def test_targets_of_one_domain_are_those_of_the_first_direction_only(pair_run):
    targets = pair_run.config.data.path + "/testB"
    scores = gankit.evaluate(pair_run.root, "swd", images=12, data=f"folder:{targets}")
    assert [score.metric for score in scores] == ["swd a2b"]


def test_a_training_judges_both_directions_as_evaluating_does(tmp_path, tiny):
    judged = {"evaluate_images": 12, "metric": "swd", "evaluate_every": 1}
    run = gankit.train("cyclegan", out=tmp_path / "run", steps=2, **judged, **tiny)
    trained = [score for score in evaluation.recorded(run) if score.step == 2]
    assert [score.metric for score in trained] == ["swd a2b", "swd b2a"]
    assert [score.value for score in gankit.evaluate(run.root, "swd", images=12)] == [s.value for s in trained]
    assert evaluation.best(run).metric == "swd a2b"


def test_a_model_without_classes_has_no_class_shares(finished, cli):
    refused = cli("evaluate", finished, "--metric", "swd", "--images", 10, "--class-shares", "data")
    assert refused.exit_code == 2
    assert "--class-shares" in refused.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--metric", "swd", "--extractor", "brightness"],
        ["--metric", "fid", "--weights", "w.pt"],
        ["--metric", "swd", "--weights", "w.pt"],
        ["--metric", "swd", "--checkpoint", "best"],
        ["--metric", "swd", "--seed", "3"],
        ["--metric", "swd", "--class-shares", "even"],
        ["--metric", "swd", "--data-root", "somewhere"],
    ],
    ids=lambda args: args[2],
)
def test_an_option_without_an_effect_on_files_is_refused_by_name(args, tmp_path, cli):
    folder = pictures(tmp_path / "set", [10, 20, 30])
    refused = cli("evaluate", folder, "--data", f"folder:{folder}", *args)
    assert refused.exit_code == 2, refused.output
    assert args[2] in refused.stderr


@pytest.mark.parametrize("flags", [{"metric": "swd"}, {"extractor": "inception"}, {"extractor_weights": "w.pt"}])
def test_a_training_refuses_options_of_evaluations_that_it_does_not_make(flags, tmp_path, tiny):
    with pytest.raises(UsageError, match="--evaluate-every"):
        gankit.train("dcgan", out=tmp_path / "run", steps=1, **flags, **tiny)
    assert not (tmp_path / "run").exists()


def test_a_judge_without_a_use_for_its_extractor_says_so():
    real = ImageSet(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(UsageError, match="--extractor brightness: has no effect, because swd looks at pixels"):
        Judge(["swd"], real, DataOptions(), extractor="brightness")


def test_drawn_samples_put_the_models_mode_back(tmp_path, tiny):
    run = gankit.train("cdcgan", out=tmp_path / "run", steps=1, **tiny)
    model = run.load().train()
    drawn = Drawn(model, 6, 0, torch.device("cpu"), torch.float32, 8)
    assert len(next(drawn.batches(counts=(1, 1, 1))).images) == 6
    assert model.training
