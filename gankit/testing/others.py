"""What gankit relies on of architectures, data sets, metrics and extractors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gankit.core.rng import RandomStream
from gankit.core.types import Spec
from gankit.data.catalogue import DataOptions
from gankit.data.dataset import ImageSet
from gankit.evaluation.metric import NEEDS, Seen, Source
from gankit.models.networks import NetworkOptions, uses_batch_statistics
from gankit.registry import registry
from gankit.testing.checks import Check, checks_of, ensure


def _made(kind: str) -> Callable[[str], Any]:
    """What makes the plugin of ``kind`` that is known by a name."""
    return lambda name: registry().get(kind, name)()


def check_architecture(
    architecture: str | type[Any], options: NetworkOptions | None = None, sizes: tuple[int, ...] = (8, 16)
) -> tuple[Check, ...]:
    """The checks of networks of ``sizes`` with ``options``, by default of width 2."""
    given = options or NetworkOptions(ngf=2, ndf=2, nz=4)

    def networks(made: Any) -> str | None:
        for size in sizes:
            for channels in (1, 3):
                spec = Spec(channels, size)
                _generator(made, spec, given)
                _discriminator(made, spec, given)
        return None

    return checks_of(
        "architectures", architecture,
        [("networks", "variants put them together without knowing them", "take inputs, spec and what else is asked for",
          networks)],
        _made("architectures"),
    )  # fmt: skip


def _generator(made: Any, spec: Spec, options: NetworkOptions) -> None:
    net = made.generator(5, spec, options)
    latents = RandomStream("check").normal(3, 5)
    masks = net.masks(3, RandomStream("masks"))
    state = torch.random.get_rng_state()
    images: Tensor = net(latents, masks)
    ensure(images.shape == (3, *spec.shape), f"a generator for {spec.shape} makes {list(images.shape)}")
    ensure(images.abs().max() <= 1.0001, "a generator's images are not in [-1, 1]")
    ensure(torch.equal(state, torch.random.get_rng_state()), "a generator draws from PyTorch's own generator")
    _reached(net, images, "generator")


def _discriminator(made: Any, spec: Spec, options: NetworkOptions) -> None:
    images = RandomStream("check").normal(3, *spec.shape).clamp(-1, 1)
    for outputs, channels, features in ((1, 0, 0), (3, 0, 0), (1, 2, 0), (1, 0, 4)):
        net = made.discriminator(spec, options, outputs=outputs, extra_channels=channels, extra_features=features)
        shown = torch.cat([images, images.new_ones(3, channels, *spec.sides)], 1)
        found: Tensor = net(shown, images.new_ones(3, features)) if features else net(shown)
        wanted = (3,) if outputs == 1 else (3, outputs)
        ensure(
            found.shape == wanted,
            f"a discriminator with outputs={outputs}, extra_channels={channels}, extra_features={features} gives "
            f"{list(found.shape)} of 3 images, not {list(wanted)}",
        )
        _reached(net, found, "discriminator")
        if not uses_batch_statistics(net) and not features:
            alone: Tensor = net(shown[:1])
            ensure(
                torch.allclose(alone, found[:1], atol=1e-5), "a discriminator's score depends on the rest of the batch"
            )


def _reached(net: torch.nn.Module, made: Tensor, what: str) -> None:
    names, parameters = zip(*net.named_parameters(), strict=True)
    found = torch.autograd.grad(made.square().sum(), parameters, allow_unused=True)
    unused = [name for name, grad in zip(names, found, strict=True) if grad is None]
    ensure(not unused, f"a {what} never uses {', '.join(unused)}")


def check_dataset(dataset: str | type[Any], **options: Any) -> tuple[Check, ...]:
    """The checks of a data set; ``options`` are those of DataOptions that it is loaded with: path in ``data``, say."""
    name = dataset if isinstance(dataset, str) else str(getattr(dataset, "name", dataset.__name__))
    given = DataOptions(**{"data": name, "limit": 40, **options})

    def images(made: Any) -> str | None:
        found = made.load(given, 0)
        ensure(isinstance(found, ImageSet), f"load returns {type(found).__name__}, not ImageSet")
        for some in [found.images] + ([] if found.other is None else [found.other]):
            ensure(some.dtype == torch.uint8 and some.dim() == 4, f"images are {some.dtype} {list(some.shape)}")
            ensure(some.shape[1] in (1, 3), f"images have {some.shape[1]} channels")
            ensure(len(some), "there are no images")
        if found.labels is not None:
            labels = found.labels
            ensure(labels.dtype == torch.int64 and labels.shape == (len(found),), f"labels are {labels.dtype}")
            ensure(int(labels.min()) >= 0 and int(labels.max()) < len(found.classes), "a label names no class")
        return None

    def same(made: Any) -> str | None:
        ensure(made.load(given, 0).digest() == made.load(given, 0).digest(), "two loads of one seed differ")
        return None

    def asked(made: Any) -> str | None:
        more = dataclasses.replace(given, limit=20)
        ensure(len(made.load(more, 0)) <= 20, "--limit 20 leaves more than 20 images")
        for size in (8, 12):
            found = made.load(dataclasses.replace(given, size=size), 0)
            ensure(found.sides == (size, size), f"--size {size} gives images of {found.sides}")
        return None

    return checks_of(
        "datasets", dataset,
        [("images", "networks and metrics read them as they are", "give uint8 [N,C,H,W], labels int64 [N]", images),
         ("the same each time", "a run could not be resumed", "let the order follow from names", same),
         ("size and limit", "the options say so to every data set", "use gankit.data's image_set or pixel_set", asked)],
        _made("datasets"),
    )  # fmt: skip


def check_metric(metric: str | type[Any]) -> tuple[Check, ...]:
    """The checks of a metric, on made-up features of images."""

    def seen(count: int, seed: int, first: int = 0) -> Seen:
        draws = RandomStream("check", seed)
        pixels = draws.integers(256, count, 3, 16, 16).to(torch.uint8)
        labels = torch.arange(count) % 3
        return Seen(pixels, first, draws.normal(count, 8), draws.normal(count, 3), labels, labels)

    def kept(made: Any, seed: int, parts: int) -> Any:
        statistics, whole = made.start(), seen(240, seed)
        for first in range(0, 240, 240 // parts):
            cut = slice(first, first + 240 // parts)
            fields = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole) if f.name != "first"}
            statistics.update(Seen(first=first, **{name: value[cut] for name, value in fields.items()}))
        return statistics

    def value(made: Any) -> str | None:
        ensure(made.needs in NEEDS, f"needs is {made.needs!r}, none of {', '.join(NEEDS)}")
        ensure(made.better in ("lower", "higher"), f"better is {made.better!r}, not lower or higher")
        found = made.value(kept(made, 1, 4), kept(made, 2, 4) if made.compares else None)
        ensure(isinstance(found, float), f"value returns {type(found).__name__}, no float")
        ensure(math.isfinite(found), f"the score of ordinary images is {found}")
        return None

    def parts(made: Any) -> str | None:
        real = kept(made, 2, 4) if made.compares else None
        one, other = (made.value(kept(made, 1, parts), real) for parts in (1, 8))
        ensure(math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6), f"{one} in one batch, {other} in eight")
        return None

    def cached(made: Any) -> str | None:
        if not made.compares:
            return "it looks at no real images"
        real = kept(made, 2, 4)
        again = made.start()
        again.restore(real.state())
        one, other = (made.value(kept(made, 1, 4), some) for some in (real, again))
        ensure(one == other, f"{one}, and {other} with statistics that were stored and read again")
        return None

    return checks_of(
        "metrics", metric,
        [("value", "curves, the best checkpoint and comparisons are made of it", "return a finite Python float", value),
         ("batches", "a score would depend on how images were split", "keep sums, or rows by Seen.first", parts),
         ("stored statistics", "those of real images are cached", "give all that is kept in state()", cached)],
        _made("metrics"),
    )  # fmt: skip


def check_extractor(extractor: str | type[Any], real: ImageSet, data: DataOptions | None = None) -> tuple[Check, ...]:
    """The checks of an extractor made for the images ``real``, of the data set ``data``."""

    def features(made: Any) -> str | None:
        some = real.images[:16]
        found = made(some)
        ensure(found.features.shape[0] == 16 and found.features.dim() == 2, f"features {list(found.features.shape)}")
        ensure(torch.isfinite(found.features).all(), "a feature is not finite")
        ensure("logits" not in made.gives or found.logits is not None, "it says that it gives logits, and gives none")
        again = made(some[:5])
        ensure(
            torch.allclose(found.features[:5].float(), again.features.float(), rtol=1e-3, atol=1e-4),
            "an image's features depend on the rest of the batch",
        )
        ensure(isinstance(made.digest, str) and made.digest, "it has no digest of its weights")
        return None

    why, change = "scores are made of them, and protocols name their digest", "run in eval mode, give [n,F]"
    source = Source(real, data, None, "cpu")
    return checks_of(
        "extractors", extractor, [("features", why, change, features)],
        lambda name: registry().get("extractors", name)(source),
    )  # fmt: skip
