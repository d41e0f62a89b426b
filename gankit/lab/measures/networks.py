"""Measures of the networks themselves: how large they are, and what a discriminator makes of images it never saw."""

from __future__ import annotations

import torch

from gankit.build import DTYPES, build_model
from gankit.core.errors import UsageError
from gankit.core.rng import RandomStream
from gankit.core.types import Batch, placed
from gankit.data.dataset import ImageSet, corners
from gankit.kernels import gather
from gankit.lab.measures.measure import Count, Number
from gankit.lab.measures.pictures import even, held_out
from gankit.models.adversarial import AdversarialModel
from gankit.runs.folder import RunFolder
from gankit.runs.images import run_images


def parameters(run: RunFolder) -> dict[str, Number]:
    """How many weights each network of the run's model learns, and the "total"."""
    model = build_model(run.config, run.spec)
    sizes = {
        name: float(sum(each.numel() for each in network.parameters())) for name, network in model.named_children()
    }
    return {**{name: size for name, size in sizes.items() if size}, "total": sum(sizes.values())}


def discriminator_on_held_out(run: RunFolder, *, images: Count = 512, checkpoint: str = "last") -> dict[str, Number]:
    """What the discriminator, or critic, gives "real" images that it was trained on, real images "held out", and
    "fake" ones: one that has learned the data by heart gives the first two apart.

    The means that a training records as D(x) and D(G(z)), at the last weights, over batches of the run's size.
    UsageError for a model without a discriminator, and for a data set that has nothing to hold out.
    """
    model, _ = run.load_at(checkpoint, average=False)
    if not isinstance(model, AdversarialModel):
        raise UsageError(f"{run.root}: {run.config.variant} has no discriminator of images to ask")
    seen = even(run_images(run)[0], images)
    unseen, other = held_out(run, images)
    if not other:
        raise UsageError(f"{run.root}: {run.config.data.data} has no test split, so no images are held out")
    size = min(run.config.train.batch_size, len(seen), len(unseen))
    batches = max(1, min(len(unseen), len(seen)) // size)
    found: dict[str, list[float]] = {"real": [], "held out": [], "fake": []}
    for i in range(batches):
        for name, source in (("real", seen), ("held out", unseen)):
            real, fake = watched(run, model, source, i, size)
            found[name].append(real)
            if name == "real":
                found["fake"].append(fake)
    return {name: sum(values) / len(values) for name, values in found.items()}


def watched(run: RunFolder, model: AdversarialModel, images: ImageSet, number: int, size: int) -> tuple[float, float]:
    """(what the discriminator gives the real images of batch ``number``, what it gives fakes), as a step records it."""
    index = torch.arange(number * size, (number + 1) * size)
    dtype = DTYPES[run.config.train.precision]
    pixels = gather(
        images.images, index, offset=corners(images.images, run.spec.sides, size), size=run.spec.sides, dtype=dtype
    )
    batch = Batch(pixels, None if images.labels is None else images.labels[index])
    noise = model.noise(model.critic_name, size, RandomStream("discriminator", number))
    model.train()  # norms over the batch, as in the training
    terms = model.terms(model.critic_name, batch, placed(noise, pixels.device, dtype), {})
    real, fake = (
        next(float(value) for name, value in terms.watch.items() if name.startswith(prefix))
        for prefix in ("D(x", "D(G(z)")
    )
    return real, fake
