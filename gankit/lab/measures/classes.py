"""Measures of the classes in samples: which are there, and what of an image goes with its latent, not its class."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.inference.class_grids import class_grid
from gankit.inference.sample import stream
from gankit.lab.measures.measure import AtLeastTwo, Number, Positive
from gankit.lab.measures.pictures import Look, classes_in, classifier_of, features
from gankit.runs.folder import RunFolder


def counted(run: RunFolder, images: int, checkpoint: str) -> Tensor:
    """How many of ``images`` samples a classifier sees each class in, int64 [classes]."""
    network = classifier_of(run)
    return torch.bincount(
        classes_in(network, stream(run, images, checkpoint=checkpoint)), minlength=max(run.spec.classes, 2)
    )


def classes_present(
    run: RunFolder, *, images: AtLeastTwo = 1000, least: Positive = 0.2, checkpoint: str = "last"
) -> dict[str, Number]:
    """How many classes a run's samples have, and how evenly: "number", "evenness", and the "largest" one's share.

    A class counts where a classifier sees it in at least ``least`` of the samples that it had if all were as frequent.
    Evenness is the entropy over that of all classes alike: 1 is even, 0 is one class only.
    """
    share = counted(run, images, checkpoint).double() / images
    entropy = abs(float(torch.special.xlogy(share, share).sum()))
    return {
        "number": float((share >= max(least / len(share), 1 / images)).sum()),
        "evenness": entropy / float(torch.tensor(len(share), dtype=torch.float64).log()),
        "largest": float(share.max()),
    }


def class_shares(run: RunFolder, *, images: AtLeastTwo = 1000, checkpoint: str = "last") -> dict[str, Number]:
    """The share of samples that a classifier sees each class in, by the class's name."""
    share = counted(run, images, checkpoint).double() / images
    names = run.spec.names or tuple(f"class {i}" for i in range(len(share)))
    return dict(zip(names, share.tolist(), strict=True))


def style_kept(run: RunFolder, *, columns: AtLeastTwo = 16, look: Look = "pixels") -> Number:
    """How far one latent's images of all classes differ, over how far those of several latents do: 1 where the classes
    have nothing of the latent in common, less where style stays as the class changes.

    Of images of two different classes, the mean of each class taken off, so that only what is not the class's counts.
    None where all latents of a class give the same image.
    """
    images = class_grid(run, columns)
    found = features(run, images, look).view(len(images) // columns, columns, -1)
    return same_over_other(found - found.mean(1, keepdim=True))


def same_over_other(residuals: Tensor) -> float | None:
    """residuals: [classes, columns, F] -> the mean distance of two of one column, over that of two of several columns,
    both of two different classes; None where it is 0.
    """
    classes, columns = residuals.shape[:2]
    flat = residuals.flatten(0, 1)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    of_class, of_column = torch.arange(classes).repeat_interleave(columns), torch.arange(columns).repeat(classes)
    apart, same = of_class[:, None] != of_class, of_column[:, None] == of_column
    other = float(distance[apart & ~same].mean())
    return float(distance[apart & same].mean()) / other if other > 0 else None
