"""Every metric against a closed form or a calculation of its own; and no split of the images changes a figure."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from gankit import Moments, Seen, Selection, UsageError
from gankit.evaluation.statistics import KEPT
from gankit.plugins.metrics import classes, kid, neighbours, sliced
from gankit.plugins.metrics.fid import FID, frechet
from gankit.registry import registry

METRICS = registry().names("metrics")


def rng(seed=0):
    return np.random.default_rng(seed)


def seen(features=None, first=0, logits=None, images=None, labels=None, codes=None):
    """A batch of so many images, with what the metric under test looks at."""
    n = len(next(x for x in (features, logits, images) if x is not None))
    images = torch.zeros(n, 1, 2, 2, dtype=torch.uint8) if images is None else images
    return Seen(images, first, features, logits, labels, codes)


def filled(kept, *batches):
    first = 0
    for batch in batches:
        kept.update(seen(batch, first) if torch.is_tensor(batch) else batch)
        first += len(batch) if torch.is_tensor(batch) else len(batch.images)
    return kept


def exactly(n, mean, root, seed=0):
    """[n, F] float64 whose sample mean is ``mean`` and whose unbiased sample covariance is root root'."""
    x = rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (n - 1))).T
    return torch.from_numpy(white @ root.T + mean)


def fid(x, y):
    return FID().value(filled(Moments(), x), filled(Moments(), y))


@pytest.mark.parametrize("f", [1, 3, 20])
def test_fid_of_gaussians_that_vary_along_the_axes_is_the_closed_form(f):
    mean1, mean2 = rng(1).standard_normal(f), rng(2).standard_normal(f)
    s1, s2 = rng(3).uniform(0.1, 3, f), rng(4).uniform(0.1, 3, f)
    found = fid(exactly(200, mean1, np.diag(s1), 5), exactly(150, mean2, np.diag(s2), 6))
    assert found == pytest.approx(((mean1 - mean2) ** 2).sum() + ((s1 - s2) ** 2).sum(), rel=1e-9)


def test_fid_of_features_that_are_not_finite_is_no_number_and_no_crash():
    good, bad = exactly(20, np.zeros(3), np.eye(3)), torch.full((20, 3), math.nan)
    assert math.isnan(fid(bad, good))
    assert math.isnan(fid(good, bad))


def test_fid_of_any_gaussians_is_that_of_the_eigenvalues_of_the_product():
    f = 12
    root1, root2 = rng(1).standard_normal((f, f)), rng(2).standard_normal((f, f))
    mean1, mean2 = rng(3).standard_normal(f), rng(4).standard_normal(f)
    c1, c2 = root1 @ root1.T, root2 @ root2.T
    cross = np.sqrt(np.linalg.eigvals(c1 @ c2).real).sum()  # of the product itself, which is not symmetric
    expected = ((mean1 - mean2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross
    x, y = exactly(100, mean1, root1), exactly(90, mean2, root2, 1)
    assert fid(x, y) == pytest.approx(expected, rel=1e-9)
    assert fid(y, x) == pytest.approx(expected, rel=1e-9)


def test_fid_of_singular_covariances_is_real_and_of_a_set_with_itself_is_0():
    flat = torch.zeros(50, 6, dtype=torch.float64)
    flat[:, :2] = exactly(50, np.zeros(2), np.diag([2.0, 3.0]))
    other = torch.zeros(50, 6, dtype=torch.float64)
    other[:, 4:] = exactly(50, np.zeros(2), np.diag([1.0, 1.0]), 1)
    assert fid(flat, other) == pytest.approx(4 + 9 + 1 + 1, rel=1e-9)  # they share no direction
    assert fid(flat, flat) == pytest.approx(0, abs=1e-6)
    few = torch.from_numpy(rng().standard_normal((10, 64)))  # fewer images than features
    assert fid(few, few) == pytest.approx(0, abs=1e-5)
    with pytest.raises(UsageError, match="2 images"):
        fid(flat[:1], flat)


def test_fid_keeps_its_digits_far_from_the_origin():
    x, y = exactly(200, np.zeros(2), np.eye(2)), exactly(200, np.ones(2), np.eye(2), 1)
    far = 1e6  # the mean of squares less the square of means would lose all digits in float32, and most in float64
    moments = [filled(Moments(), *torch.split(z + far, 7)) for z in (x, y)]
    assert FID().value(*moments) == pytest.approx(2, rel=1e-6)


def test_kid_is_the_double_sum_over_different_pairs():
    x, y = rng(1).standard_normal((5, 3)), rng(2).standard_normal((4, 3))

    def k(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    within_x = sum(k(x[i], x[j]) for i, j in itertools.permutations(range(5), 2)) / 20
    within_y = sum(k(y[i], y[j]) for i, j in itertools.permutations(range(4), 2)) / 12
    between = sum(k(a, b) for a in x for b in y) / 20
    found = kid.mmd2(torch.from_numpy(x), torch.from_numpy(y))
    assert found == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)


def test_kid_is_unbiased_and_its_plain_form_would_not_be():
    values, plain = [], []
    for seed in range(2000):
        x, y = torch.from_numpy(rng(seed).standard_normal((2, 12, 4)))
        values.append(kid.mmd2(x, y))
        plain.append(float(kid.cubic(x, x).mean() + kid.cubic(y, y).mean() - 2 * kid.cubic(x, y).mean()))
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert np.mean(plain) > 40 * error
    assert min(values) < 0  # as it must be to be unbiased


def test_kid_averages_over_subsets_and_uses_all_of_few():
    x, y = torch.from_numpy(rng().standard_normal((2, 30, 4)))
    assert kid.mean_mmd(x, y, subsets=3, size=1000) == pytest.approx(kid.mmd2(x, y), rel=1e-9)
    assert kid.mean_mmd(x, y + 1, subsets=50, size=10) == pytest.approx(kid.mmd2(x, y + 1), rel=0.1)
    with pytest.raises(UsageError, match="2 images"):
        kid.mean_mmd(x[:1], y)


def line(*places):
    """A selection of points on a line."""
    return filled(Selection(), torch.tensor(places)[:, None])


def test_precision_recall_density_and_coverage_of_points_whose_balls_are_known():
    real = line(*(float(i) for i in range(10)))
    # The third neighbour is 2 away, 3 at both ends; the fifth 3, 4 next to the ends, 5 at the ends.
    assert neighbours.radii(real, 3).tolist() == [3, 2, 2, 2, 2, 2, 2, 2, 2, 3]
    assert neighbours.radii(real, 5).tolist() == [5, 4, 3, 3, 3, 3, 3, 3, 4, 5]
    fake = line(-3.0, -3.5, 4.5, 100.0, 101.0, 102.0, 103.0, 104.0)
    assert neighbours.Precision().value(fake, real) == 2 / 8  # -3 is in the ball of 0, 4.5 in several; -3.5 in none
    # In real balls: -3 in those of 0 (5) and 1 (4); -3.5 in that of 0 alone; 4.5 in those of 2 .. 7 and of 0, 9 (4.5
    # away, 5 wide) and 1, 8 (3.5 away, 4 wide).
    assert neighbours.Density().value(fake, real) == pytest.approx((2 + 1 + 10) / 8 / 5)
    # Nearest samples of 0 .. 9: 3, 3.5, 2.5, 1.5, .5, .5, 1.5, 2.5, 3.5, 4.5, all within their balls.
    assert neighbours.Coverage().value(fake, real) == 1
    # The fakes' own balls: -3's third neighbour is 103 away, 4.5's 95.5; those of 100 and more reach no real image.
    assert neighbours.Recall().value(line(100.0, 101.0, 102.0, 103.0), real) == 0
    assert neighbours.Recall().value(fake, real) == 1


def test_a_generator_that_draws_one_of_two_modes_is_precise_but_does_not_cover():
    one, two = rng(0).standard_normal((2, 60, 3))
    real = filled(Selection(), torch.from_numpy(np.concatenate([one, two + 100])))
    fake = filled(Selection(), torch.from_numpy(one + 0.01))
    assert neighbours.Precision().value(fake, real) == 1
    assert neighbours.Recall().value(fake, real) == 0.5
    assert neighbours.Coverage().value(fake, real) == 0.5
    same = [metric().value(real, real) for metric in (neighbours.Precision, neighbours.Recall, neighbours.Coverage)]
    assert same == [1, 1, 1]
    with pytest.raises(UsageError, match="4 images or more"):
        neighbours.Precision().value(fake, line(1.0, 2.0, 3.0))


@pytest.mark.parametrize("metric", [neighbours.Precision, neighbours.Recall, neighbours.Density, neighbours.Coverage])
def test_neighbour_metrics_agree_with_loops_over_all_points(metric):
    real, fake = rng(1).standard_normal((40, 2)), rng(2).standard_normal((30, 2)) * 0.7 + 0.3

    def radius(points, i, k):
        return sorted(math.dist(points[i], other) for other in points)[k]

    k = metric.k
    if metric is neighbours.Recall:
        hits = [any(math.dist(x, c) <= radius(fake, i, k) for i, c in enumerate(fake)) for x in real]
    elif metric is neighbours.Coverage:
        hits = [any(math.dist(x, c) <= radius(real, i, k) for c in fake) for i, x in enumerate(real)]
    else:
        counts = [sum(math.dist(x, c) <= radius(real, i, k) for i, c in enumerate(real)) for x in fake]
        hits = [n > 0 for n in counts] if metric is neighbours.Precision else [n / k for n in counts]
    kept = [filled(Selection(), torch.from_numpy(x)) for x in (fake, real)]
    assert metric().value(*kept) == pytest.approx(np.mean(hits))


def grey(n, size, seed):
    return torch.from_numpy(rng(seed).integers(0, 200, (n, 1, size, size), dtype=np.uint8))


def swd(x, y):
    return sliced.SlicedWasserstein().value(
        *(filled(sliced.Projections(), *(seen(images=b, first=7 * i) for i, b in enumerate(torch.split(z, 7))))
          for z in (x, y))
    )  # fmt: skip


def test_the_sliced_distance_of_images_made_brighter_is_by_how_much():
    images = grey(50, 4, 0)
    for shift in (1, 13, 55):  # 256 directions are 16 whole bases of 16 pixels, so the closed form is exact
        assert swd(images, images + shift) == pytest.approx(shift, rel=1e-5)
    assert swd(images, images) == 0
    assert swd(images, images.flip(0)) == pytest.approx(0, abs=1e-5)
    larger = grey(30, 28, 1)
    assert swd(larger, larger + 40) == pytest.approx(40, rel=0.15)  # 256 directions of 784


def test_the_sliced_distance_of_one_shifted_pixel_is_its_share():
    images = grey(40, 4, 2)
    moved = images.clone()
    moved[:, 0, 1, 2] += 40
    assert swd(images, moved) == pytest.approx(40 / 4, rel=1e-5)  # 40 / sqrt(16 pixels)


def test_the_sliced_distance_of_sets_of_different_size_weighs_each_image_alike():
    x, y = torch.from_numpy(rng(1).standard_normal((6, 5))), torch.from_numpy(rng(2).standard_normal((4, 5)))
    expected = (x.repeat_interleave(2, 0).sort(0).values - y.repeat_interleave(3, 0).sort(0).values).square().mean(0)
    torch.testing.assert_close(sliced.squared_distances(x, y), expected)
    assert swd(grey(20, 4, 3), grey(20, 4, 3).repeat_interleave(3, 0)) == pytest.approx(0, abs=1e-6)


def test_directions_have_length_1_and_are_at_right_angles_within_a_basis():
    found = sliced.directions(16)
    torch.testing.assert_close(found[:, :16].T @ found[:, :16], torch.eye(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(256))


def beliefs(p):
    return filled(classes.Beliefs(), seen(logits=torch.from_numpy(np.asarray(p)).log()))


def test_the_inception_score_of_sure_and_even_classes_is_their_number_and_of_unsure_ones_1():
    k = 7
    sure = np.eye(k)[np.arange(10 * k) // 10 % k]  # each of the ten splits holds each class once
    assert classes.InceptionScore().value(beliefs(sure), None) == pytest.approx(k)
    assert classes.InceptionScore().value(beliefs(np.full((30, k), 1 / k)), None) == pytest.approx(1)
    assert classes.InceptionScore().value(beliefs(np.eye(k)[[3] * 40]), None) == pytest.approx(1)


def test_the_inception_score_is_the_mean_of_the_splits_divergences():
    p = rng().dirichlet(np.ones(4), 37)
    scores = []
    for split in range(10):
        some = p[split::10]
        mean = some.mean(0)
        scores.append(np.exp(np.mean([np.sum(row * np.log(row / mean)) for row in some])))
    assert classes.InceptionScore().value(beliefs(p), None) == pytest.approx(np.mean(scores), rel=1e-9)


def test_class_balance_is_1_for_even_classes_0_for_one_and_between_them_the_entropy():
    def balance(found):
        return classes.ClassBalance().value(
            filled(classes.Votes(), seen(logits=torch.eye(4)[torch.tensor(found)])), None
        )

    assert balance([0, 1, 2, 3] * 5) == pytest.approx(1)
    assert balance([2] * 9) == 0
    assert balance([0, 1] * 5) == pytest.approx(0.5)  # log 2 / log 4


def test_class_accuracy_counts_the_samples_of_the_class_asked_for():
    logits, asked = torch.eye(3)[torch.tensor([0, 1, 2, 2])], torch.tensor([0, 1, 2, 0])
    votes = filled(classes.Votes(), seen(logits=logits, labels=asked))
    assert classes.ClassAccuracy().value(votes, None) == 0.75
    with pytest.raises(UsageError, match="no labels"):
        classes.ClassAccuracy().value(filled(classes.Votes(), seen(logits=logits)), None)


def test_code_purity_gives_every_value_of_the_code_a_class_of_its_own():
    def purity(*batches):
        parts = [seen(logits=torch.eye(3)[torch.tensor(found)], codes=torch.tensor(of)) for of, found in batches]
        return classes.CodePurity().value(filled(classes.CodeTable(), *parts), None)

    assert purity(([0, 1, 2, 0], [2, 0, 1, 2])) == 1  # the names of the values do not matter
    # Both values see class 2 most; only one can stand for it, so the other has its single 0.
    assert purity(([0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 2, 0])) == 4 / 6
    assert purity(([0, 0, 0], [2, 2, 2]), ([1, 1, 1], [2, 2, 0])) == 4 / 6  # a value that comes later, too
    assert purity(([0, 1, 2, 3], [0, 0, 1, 2])) == 3 / 4  # more values than classes: one stands for none
    uncoded = filled(classes.CodeTable(), seen(logits=torch.eye(3)))
    with pytest.raises(UsageError, match="categorical code"):
        classes.CodePurity().value(uncoded, None)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (4, 4), (5, 5), (3, 6)])
def test_the_best_assignment_is_that_of_all_permutations(shape):
    rows, columns = sorted(shape)
    for seed in range(10):
        table = rng(seed).integers(0, 9, (rows, columns))
        best = max(sum(table[range(rows), some]) for some in itertools.permutations(range(columns), rows))
        turned = table if shape == (rows, columns) else table.T
        assert classes.best_assignment(torch.from_numpy(turned.copy())) == best


def a_batch(n, first, seed):
    draw = rng(seed)
    return Seen(
        torch.from_numpy(draw.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)),
        first,
        torch.from_numpy(draw.standard_normal((n, 3), dtype=np.float32)),
        torch.from_numpy(draw.standard_normal((n, 5), dtype=np.float32)),
        torch.from_numpy(draw.integers(0, 5, n)),
        torch.from_numpy(draw.integers(0, 4, n)),
    )


def parts(batch, sizes):
    """``batch`` split at random into batches of the given sizes, again and again."""
    first, size = 0, itertools.cycle(sizes)
    while first < len(batch.images):
        some = slice(first, first + next(size))
        cut = (x[some] for x in (batch.features, batch.logits, batch.labels, batch.codes))
        yield Seen(batch.images[some], first, *cut)
        first = some.stop


@pytest.mark.parametrize("name", METRICS)
def test_no_split_into_batches_changes_a_figure(name):
    metric = registry().get("metrics", name)()
    fake, real = a_batch(230, 0, 1), a_batch(150, 0, 2)

    def value(*sizes):
        kept = [filled(metric.start(), *parts(batch, sizes)) for batch in (fake, real)]
        return metric.value(kept[0], kept[1] if metric.compares else None)

    whole = value(1000)
    for sizes in ((1,), (7, 64), (149, 1)):
        # A float32 product of a row differs in its last bit with the rows beside it; all else is in float64.
        assert value(*sizes) == pytest.approx(whole, rel=1e-6 if name == "swd" else 1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_kept_does_not_grow_and_survives_being_cached(name):
    metric = registry().get("metrics", name)()
    kept, sizes = metric.start(), []
    for i in range(12):
        kept.update(a_batch(2_000, 2_000 * i, i))
        sizes.append(sum(tensor.numel() for tensor in kept.state().values()))
    assert sizes[5:] == [sizes[5]] * 7  # from 12,000 images on
    again = metric.start()
    again.restore(kept.state())
    assert all(torch.equal(again.state()[name], tensor) for name, tensor in kept.state().items())
    few, again = filled(metric.start(), a_batch(40, 0, 99)), metric.start()
    again.restore(few.state())
    assert metric.value(few, few) == metric.value(again, again)


def test_a_selection_keeps_the_same_images_however_they_come_and_each_with_the_same_chance():
    images = torch.arange(6000.0)[:, None]
    chosen = [filled(Selection(limit=600), *torch.split(images, size)).rows[:, 0] for size in (6000, 501, 3)]
    assert torch.equal(chosen[0], chosen[1])
    assert torch.equal(chosen[0], chosen[2])
    assert len(chosen[0].unique()) == 600
    tenths = torch.histc(chosen[0], 10, 0, 6000)
    assert ((tenths - 60).square() / 60).sum() < 28  # chi squared of 9 degrees: beyond by a chance of 1 in 1000
    assert len(filled(Selection(), images)) == 6000 < KEPT


def test_frechet_is_never_negative():
    for seed in range(20):
        root = rng(seed).standard_normal((5, 3))
        c = torch.from_numpy(root @ root.T)
        assert 0 <= frechet(torch.zeros(5).double(), c, torch.zeros(5).double(), c) < 1e-6
