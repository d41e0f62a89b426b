"""Measures of models that encode: what their latents know, how well they reconstruct, how sharp images are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit.core.images import to_uint8
from gankit.evaluation.judge import Judge, Samples
from gankit.evaluation.reference import comparable
from gankit.inference import density, probe
from gankit.inference import reconstruct as encoding
from gankit.inference.sample import stream
from gankit.lab.measures.measure import AtLeastTwo, Count, MetricName, Number, Share
from gankit.lab.measures.pictures import even, held_out
from gankit.runs.folder import RunFolder
from gankit.runs.images import run_images


def probe_accuracy(
    run: RunFolder, *, images: AtLeastTwo = 5000, held_out: Share = 0.2, neighbours: Count = 5
) -> dict[str, Number]:
    """How well classes can be read off latents, by "linear", "svm" and "knn"; beside it off those of the "untrained"
    encoder, and off "pixels": the accuracy on images held out.
    """
    found: dict[str, Number] = {}
    for row in probe.probe(run, images, held_out, neighbours):
        prefix = {"encoder": "", "untrained encoder": "untrained "}.get(row.features, f"{row.features} ")
        found |= {f"{prefix}linear": row.linear, f"{prefix}svm": row.svm, f"{prefix}knn": row.knn}
    return found


def reconstruction_error(run: RunFolder, *, images: Count = 1000, relative: bool = False) -> Number:
    """The mean squared error per pixel of images sent to latents and back, on the [-1, 1] scale.

    Of images that the run was not trained on where its data set has some. ``relative``: over that of the mean image.
    """
    _, other = held_out(run, images)
    found = encoding.reconstruct(run, shown=1, judged=images, split="test" if other else None)
    return found.ratio if relative else found.error


def sharpness(
    run: RunFolder, *, images: Count = 500, what: Literal["samples", "reconstructions"] = "samples"
) -> Number:
    """The fine detail of samples (or of reconstructions) over that of real images: 1 as sharp, less is smoother.

    Fine detail is the mean square of the Laplacian, each pixel less the mean of its four neighbours.
    """
    real, _ = run_images(run)
    pixels = even(comparable(real, run.spec.sides), images).images
    if what == "samples":
        found = list(stream(run, images))
    else:
        model = encoding.load(run)
        with torch.no_grad():
            found = [model.reconstruct(part) for part in encoding.batches(model, pixels, run.spec.sides)]
    usual = detail(torch.split(pixels, 500))
    return detail(map(to_uint8, found)) / usual if usual else None


def detail(images: Iterable[Tensor]) -> float:
    """Parts uint8 [n,C,H,W] -> the mean square, over pixels that have four neighbours, of their Laplacian."""
    kernel = -torch.tensor([[0.0, 0.25, 0.0], [0.25, -1.0, 0.25], [0.0, 0.25, 0.0]], dtype=torch.float64)
    squares, count = 0.0, 0
    for part in images:
        found = F.conv2d(part.double().flatten(0, 1)[:, None], kernel[None, None])
        squares, count = squares + float(found.square().sum()), count + found.numel()
    return squares / count


def density_score(
    run: RunFolder,
    *,
    kind: Literal["mixture", "vae"] = "mixture",
    components: Count = 16,
    dims: Count = 256,
    latents: AtLeastTwo = 5000,
    steps: Count = 2000,
    metric: MetricName = "swd",
    images: AtLeastTwo = 1000,
) -> dict[str, Number]:
    """The score of "samples" of a density fitted to latents, beside that of "reconstructions", the best it could give.

    The density is that of `gankit density` and is not kept; both are judged against the images that the run was trained
    on, of which ``images`` are reconstructed.
    """
    real, place = run_images(run)
    pixels = comparable(real, run.spec.sides)
    judge = Judge([metric], pixels, place)
    tensors, about = density.fitted(run, kind, components, dims, latents, steps)
    model = encoding.load(run)
    parts = encoding.batches(model, even(pixels, images).images, run.spec.sides)
    with torch.no_grad():
        again = [Samples(to_uint8(model.reconstruct(part))) for part in parts]
    drawn = [Samples(to_uint8(part)) for part in density.drawn(run, tensors, about, images)]
    return {"samples": judge.judge(drawn)[0].value, "reconstructions": judge.judge(again)[0].value}
