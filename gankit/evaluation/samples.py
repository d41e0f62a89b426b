"""Where samples to be judged come from: a run, a folder of images, or an array in a file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gankit.build import DTYPES, load_images, pick_device
from gankit.core.errors import DamagedFile, GankitError, UsageError
from gankit.core.images import to_uint8
from gankit.core.progress import warn
from gankit.core.ranks import current
from gankit.core.rng import RandomStream, key
from gankit.core.sides import Sides, as_size
from gankit.core.types import Batch, Noise, placed
from gankit.data.catalogue import DataOptions
from gankit.data.choice import chosen as evenly_chosen
from gankit.data.dataset import ImageSet
from gankit.data.decoding import FORMATS, UNREADABLE, decoded
from gankit.data.sources import find_images
from gankit.evaluation.judge import Samples, in_batches
from gankit.models.interface import Conditional, Model, Translator
from gankit.models.label_embedding import labels_like
from gankit.models.sampling import moved
from gankit.runs.folder import RunFolder
from gankit.runs.images import place_of, run_images

IMAGES = 10_000
"""Samples of a run that are judged unless another number is asked for."""
SEED = 0
"""Of latents and of choices: one for all runs and both ways of evaluating, so that their scores can be compared."""


@dataclass(frozen=True)
class Asked:
    """What the options of an evaluation ask of samples and real images; None: what was not said.

    ``images``: how many samples, by default ``IMAGES`` of a run's and all of files; ``seed``: of a run's latents, and
    of the choice among files; ``shares``: how often each class comes among a conditional model's samples, "data" or
    "even".
    """

    data: str | None = None
    split: str | None = None
    data_root: str | None = None
    images: int | None = None
    seed: int | None = None
    checkpoint: str | None = None
    shares: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class SampleSource:
    """``count`` samples of ``size`` (height, width) with ``channels``, which ``batches`` gives anew at each call.

    ``data``: the data set they are compared with; ``seed``, ``averaged``, ``step``, ``shares``: what a score's protocol
    holds of a run's samples, None for files (but the seed of a choice among them); ``direction``: the mapping whose
    results they are, where a model maps images to images.
    """

    name: str
    count: int
    size: Sides
    channels: int
    batches: Callable[[tuple[str, ...]], Iterator[Samples]]
    """Takes the names of the data set's classes, to read the labels of files by. Of several ranks it gives each its
    own.
    """
    data: DataOptions | None = None
    seed: int | None = None
    averaged: bool | None = None
    step: int | None = None
    shares: str | None = None
    direction: str | None = None

    @property
    def domain(self) -> str:
        """The domain of a pair, "a" or "b", that the samples ought to be like."""
        return "b" if self.direction is None else self.direction[-1]


def sample_sources(path: str | Path, asked: Asked) -> list[SampleSource]:
    """The samples at ``path``: a run folder (whose model may map images in two directions), a folder of images or a
    .npy file. UsageError where it is none of these.
    """
    path = Path(path)
    if (path / "config.json").is_file():
        return of_run(path, asked)
    if path.suffix == ".npy" and path.is_file():
        return [of_array(path, asked)]
    if path.is_dir():
        return [of_folder(path, asked)]
    raise UsageError(f"{path}: neither a run folder, nor a folder of images, nor a .npy file")


def of_run(root: Path, asked: Asked) -> list[SampleSource]:
    """The images that the run's model draws, with averaged weights where the run has them; of one that maps images, the
    results of each direction.
    """
    run, place, seed = RunFolder(root), pick_device(asked.device), SEED if asked.seed is None else asked.seed
    model, step = run.load_at(asked.checkpoint or "last")
    model.to(place)
    own = None if run.recorded.get("images given") else place_of(run)
    data = reference_options(own, asked, run.spec.sides, run.spec.channels)
    images, both = sources_of(run, data, asked.split) if model.reads_images else (None, False)
    shares, counts = class_shares(model, run, asked.shares)
    drawn = Drawn(model, asked.images or IMAGES, seed, place, DTYPES[run.config.train.precision], run.spec.sides)
    source = SampleSource(
        str(root), drawn.count, run.spec.sides, run.spec.channels, lambda _: drawn.batches(images, counts), data, seed,
        run.config.train.ema_halflife_images > 0, step, shares,
    )  # fmt: skip
    return directed(source, drawn, images, both=both)


def reference_options(
    own: DataOptions | None, asked: Asked, size: Sides | None, channels: int | None
) -> DataOptions | None:
    """Which images samples of ``size`` (height, width) are compared with, ``own`` being those that the run was trained
    on. None where nothing says so.
    """
    options = own
    if asked.data is not None and (own is None or asked.data != own.data):
        options = DataOptions(data=asked.data, size=None if size is None else as_size(size), channels=channels)
    if options is None:
        return None
    if asked.data_root is not None and options.path is not None:
        raise UsageError(f"--data-root: has no effect beside {options.data}, which names the place; leave it out")
    return dataclasses.replace(
        options, split=asked.split or options.split, data_root=asked.data_root or options.data_root
    )


def sources_of(run: RunFolder, data: DataOptions | None, split: str | None) -> tuple[ImageSet, bool]:
    """The images that a run's model starts from, and whether the real images are both of their domains.

    They are those of ``data`` where it has two domains; else the run's own, of the same ``split`` where one was asked
    for. UsageError where its own are no longer what it was trained on.
    """
    trained, place = run_images(run)
    own = dataclasses.replace(place, split=split or place.split)
    if data is not None and data != place:
        images = load_images(dataclasses.replace(run.config, data=data))
        if images.other is not None:
            return images, True
    images = trained if own == place else load_images(dataclasses.replace(run.config, data=own))
    return images, data is None or data == place


def class_shares(model: Model, run: RunFolder, asked: str | None) -> tuple[str | None, tuple[int, ...]]:
    """("data" or "even", images of each class) by which the classes of samples are drawn; (None, ()) for a model that
    cannot be asked for a class. The run's config.json holds the numbers; for older runs its data set is looked at.
    """
    if not asks_for_classes(model):
        if asked is not None:
            raise UsageError(f"--class-shares: {run.root}: {run.config.variant} is not told the class")
        return None, ()
    counts = run.spec.class_counts
    if asked == "even":
        return "even", ()
    if not counts and not run.recorded.get("images given"):
        with contextlib.suppress(GankitError):
            counts = run_images(run)[0].class_counts()
    if not counts:
        warn(f"{run.root}: how often each class is in its data is not known; samples are drawn of all classes alike")
    return ("data", counts) if counts else ("even", ())


def asks_for_classes(model: Model) -> bool:
    """Whether samples of ``model`` can be asked to be of a class."""
    return isinstance(model, Conditional) and "class" in model.conditions


@dataclass(frozen=True)
class Drawn:
    """What draws ``count`` samples of ``model``, of ``size`` pixels."""

    model: Model
    count: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    size: Sides

    @torch.no_grad()
    def batches(
        self, images: ImageSet | None = None, counts: Sequence[int] = (), direction: str | None = None
    ) -> Iterator[Samples]:
        """The samples in eval mode, as `gankit sample` would save them; the mode that the model had is put back.

        ``images``: what a model that maps images starts from, in ``direction`` or its first; ``counts``: how often each
        class comes in the data, by which classes are drawn where there are any. The latents are a function of the seed
        and of the image's batch, so no more than one batch of them is held.
        """
        model, training = self.model, self.model.training
        model.eval()
        try:
            for first, n in current().own(in_batches(self.count)):
                batch = None if images is None else images.pick(n, key(self.seed, "evaluate", first) % 2**63, self.size)
                if batch is not None and direction is not None:
                    yield Samples(to_uint8(self._translated(batch, direction, first)))
                    continue
                noise = model.noise("sample", n, RandomStream(self.seed, "evaluate", first))
                if counts:
                    assert isinstance(model, Conditional)
                    labels = labels_like(counts, n, RandomStream(self.seed, "evaluate", "classes", first))
                    noise = model.with_condition(noise, "class", labels)
                made = model.sample(
                    placed(noise, self.device, self.dtype), batch and moved(batch, self.device, self.dtype)
                )
                yield Samples(to_uint8(made), noise.get("labels"), categorical(model, noise))
        finally:
            model.train(training)

    def _translated(self, batch: Batch, direction: str, first: int) -> Tensor:
        assert isinstance(self.model, Translator)
        source = batch.images if direction.startswith("a") else batch.domains[1]
        draws = RandomStream(self.seed, "evaluate", direction, first)
        return self.model.translate(source.to(self.device, self.dtype), direction, draws)


def directed(source: SampleSource, drawn: Drawn, images: ImageSet | None, *, both: bool = True) -> list[SampleSource]:
    """``source``, once for each direction in which its model maps images; only for the first where the real images are
    not ``both`` domains.
    """
    if images is None or not isinstance(drawn.model, Translator):
        return [source]
    first, *others = drawn.model.directions if both and images.other is not None else drawn.model.directions[:1]

    def towards(direction: str) -> SampleSource:
        return dataclasses.replace(source, direction=direction, batches=lambda _: drawn.batches(images, (), direction))

    return [dataclasses.replace(source, direction=first), *map(towards, others)]


def categorical(model: Model, noise: Noise) -> Tensor | None:
    """The values [n] of the model's first categorical code in ``noise``, None where it has none but the class."""
    conditions = model.conditions if isinstance(model, Conditional) else {}
    return next((noise[name] for name, count in conditions.items() if count and name in noise), None)


def choice(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """The numbers, in order, of ``count`` images that ``seed`` chooses, of each group its share of them: images that
    ``groups`` names alike.
    """
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    found: list[int] = evenly_chosen(len(groups), count, numbers, seed).tolist()
    return found


def chosen(groups: Sequence[str], asked: Asked) -> tuple[list[int], int | None]:
    """(numbers of the images to judge, the seed that chose them): all, unless fewer are asked for."""
    if asked.images is None or asked.images >= len(groups):
        return list(range(len(groups))), None
    seed = SEED if asked.seed is None else asked.seed
    return choice(groups, asked.images, seed), seed


def of_array(path: Path, asked: Asked) -> SampleSource:
    """Images of a uint8 array [N,H,W,C] or [N,H,W], which is read as it is needed."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedFile(f"{path}: cannot be read as a NumPy array ({error})") from error
    shape = array.shape + (1,) * (array.ndim == 3)
    if array.dtype != np.uint8 or len(shape) != 4 or not len(array):
        raise UsageError(f"{path}: {array.dtype} {array.shape}; judged are uint8 arrays [N,H,W,C] or [N,H,W]")
    index, seed = chosen([""] * len(array), asked)

    def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
        for first, n in current().own(in_batches(len(index))):
            pixels = torch.from_numpy(np.array(array[index[first : first + n]])).reshape(n, *shape[1:])
            yield Samples(pixels.movedim(-1, 1).contiguous())

    data = reference_options(None, asked, shape[1:3], shape[3])
    return SampleSource(str(path), len(index), shape[1:3], shape[3], batches, data, seed)


def of_folder(root: Path, asked: Asked) -> SampleSource:
    """Images below a folder, all of one size and all grey or all in colour. Subfolders with the names of classes are
    labels.
    """
    paths = find_images(root)
    folders = [path.relative_to(root).parts[0] if path.parent != root else "" for path in paths]
    channels = channels_of(root, paths)
    first = whole(paths[0], channels)  # upright, which the file's own height and width need not be
    size = first.height, first.width
    index, seed = chosen(folders, asked)

    def batches(classes: tuple[str, ...]) -> Iterator[Samples]:
        for first, n in current().own(in_batches(len(index))):
            some = index[first : first + n]
            pixels = np.stack([read(paths[i], size, channels) for i in some])
            known = bool(classes) and all(folders[i] in classes for i in some)
            labels = torch.tensor([classes.index(folders[i]) for i in some]) if known else None
            yield Samples(torch.from_numpy(pixels), labels)

    data = reference_options(None, asked, size, channels)
    return SampleSource(str(root), len(index), size, channels, batches, data, seed)


GREY = ("1", "L", "LA", "La", "I", "F")
"""Modes of Pillow that are grey; those that start with I;16, too."""


def channels_of(root: Path, paths: Sequence[Path]) -> int:
    """1 where all images at ``paths`` are grey, 3 where all are in colour. UsageError where some are, some are not."""
    grey = 0
    for path in paths:
        with opened(path) as image:
            grey += image.mode in GREY or image.mode.startswith("I;16")
    if grey not in (0, len(paths)):
        raise UsageError(
            f"{root}: {grey} grey images and {len(paths) - grey} in colour; scores of the two cannot be compared: "
            "save all of them as one kind"
        )
    return 1 if grey else 3


def opened(path: Path) -> Image.Image:
    """The image file, not yet decoded. DamagedFile where it is none."""
    try:
        return Image.open(path, formats=FORMATS)
    except UNREADABLE as error:
        raise DamagedFile(f"{path}: cannot be read as an image ({error}); mend or remove it") from error


def whole(path: Path, channels: int) -> Image.Image:
    """The image in ``path`` in its own size. DamagedFile where it cannot be read."""
    try:
        return decoded(path, channels)
    except UNREADABLE as error:
        raise DamagedFile(f"{path}: cannot be read as an image ({error}); mend or remove it") from error


def read(path: Path, size: Sides, channels: int) -> NDArray[np.uint8]:
    """uint8 [channels,*size]. UsageError where the image has another size: to resize samples without being asked would
    change their scores.
    """
    image = whole(path, channels)
    if (image.height, image.width) != size:
        raise UsageError(
            f"{path}: {image.height}x{image.width} pixels, but the first image has {size[0]}x{size[1]}; "
            "judge images of one size"
        )
    return np.ascontiguousarray(np.asarray(image).reshape(*size, channels).transpose(2, 0, 1))
