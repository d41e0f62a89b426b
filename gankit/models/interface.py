"""What a variant is made of: networks, phases and loss terms. The trainer owns everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Carry, Noise, Spec


@dataclass(frozen=True)
class OptimSpec:
    """How a phase's parameters are moved; ``kind`` is adam, rmsprop or sgd."""

    kind: str = "adam"
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Phase:
    """One kind of update within a step.

    ``networks`` are the submodules (dotted names) whose parameters it moves; it computes gradients for no others.
    ``repeat`` is how often it runs in a step, a number or a function of the step. ``data`` says whether it draws real
    images; a phase that does not is handed a batch of no images.
    """

    name: str
    networks: tuple[str, ...]
    optimizer: OptimSpec
    repeat: int | Callable[[int], int] = 1
    data: bool = True

    def times(self, step: int) -> int:
        """How often this phase runs in ``step`` (0-based)."""
        return self.repeat if isinstance(self.repeat, int) else self.repeat(step)


@dataclass(frozen=True)
class Terms:
    """What a phase computed.

    ``losses``: named scalars, already weighted; their sum is minimised. ``watch``: named scalars only to look at.
    ``carry``: tensors for later phases of the same step; one may keep its graph as long as no network in that graph is
    updated in between.
    """

    losses: Mapping[str, Tensor]
    watch: Mapping[str, Tensor] = field(default_factory=dict)
    carry: Mapping[str, Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """Networks with the phases that train them.

    A step must be static, so that it can be captured or compiled: fixed shapes, no ``.item()``, nothing random but what
    ``noise`` drew, no Python number that changes from step to step.
    """

    plugin: str = ""
    """Whose it is, in words, for an error; set where it is built."""
    phases: tuple[Phase, ...]
    ema_networks: tuple[str, ...] = ("generator",)
    """The networks that ``sample`` needs, averaged over training where the run asks for it."""
    advice: Mapping[str, str] = MappingProxyType({})
    """Which options of the variant usually help, by the name of the condition that a run's health can be in."""
    whole_noise: tuple[str, ...] = ()
    """Names of ``noise`` that are about the whole batch: where several ranks have a part of a batch each, every one is
    handed all of these, and its part of the others.
    """
    reads_images: bool = False
    """Whether ``sample`` needs a batch of the data set's images, as a model that maps images to images does."""

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        """Everything random that ``terms`` (or, for phase "sample", ``sample``) needs for ``n`` images, on the CPU: by
        name [n, ...], a row an image.

        A conditional model puts the classes of its samples, int64 [n], into it as "labels", and the values of any
        other of its ``conditions`` that is categorical, int64 [n], under the condition's name.
        """
        raise NotImplementedError

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        """The losses of ``phase``. Images in ``batch`` are in [-1, 1] and on the model's device, like ``noise``."""
        raise NotImplementedError

    def after(self, phase: str) -> None:
        """Called when ``phase`` has moved its parameters: to clip weights, say."""

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """Images [n,C,H,W] in [-1, 1] from ``noise("sample", n, ...)``; called in eval mode and without gradients."""
        raise NotImplementedError

    def preview(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """The N images to look at while training, where they are others than ``sample``'s: with their sources, say."""
        return self.sample(noise, batch)


class Conditional(Model):
    """A model whose samples can be asked for: a class, or a value of a latent code."""

    conditions: Mapping[str, int] = MappingProxyType({})
    """What a sample can be asked to be, by name, with the number of its values; 0: any number in [-1, 1]. "class" is
    the class of the data set.
    """

    def with_condition(self, noise: Noise, name: str, values: Tensor) -> Noise:
        """``noise`` for n samples with condition ``name`` set to ``values``: int64 [n]; or shares of each value,
        floating [n, count], for one between them; or floating [n] in [-1, 1] where it has no count.
        """
        raise NotImplementedError


class Encoder(Model):
    """A model with a way from images to latents and back."""

    def encode(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """images: [n,C,H,W] in [-1, 1]. Returns latents [n, width]; the mean of the posterior where there is one."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """latents: [n, width] as ``encode`` gives them. Returns images [n,C,H,W] in [-1, 1]."""
        raise NotImplementedError

    def reconstruct(self, images: Tensor) -> Tensor:
        """images: [n,C,H,W] in [-1, 1]. Returns what is left of them on their way to latents and back."""
        return self.decode(self.encode(images))


class Quantised(Encoder):
    """An encoder whose latents are entries of a codebook."""

    @property
    def codebook(self) -> Tensor:
        """The entries, [K, d]."""
        raise NotImplementedError


class Translator(Model):
    """A model that maps images to images."""

    directions: tuple[str, ...]
    """The names of its mappings: "a2b"."""
    any_size: bool = False
    """Whether it takes images of other sizes than it was built for."""

    def translate(self, images: Tensor, direction: str, draws: RandomStream) -> Tensor:
        """images: [n,C,H,W] in [-1, 1]; direction: one of ``directions``. Returns their translations, of their size."""
        raise NotImplementedError


class Variant(ABC):
    """What a plugin registers: a name, the paper, its options, and how to build the model."""

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    Options: ClassVar[type[Any]]
    """A frozen dataclass whose fields are declared with ``gankit.option``."""
    defaults: ClassVar[Mapping[str, object]] = {}
    """Defaults of the common data and training options that this variant sets otherwise: ``{"batch_size": 128}``."""
    tuned: ClassVar[Mapping[str, object]] = {}
    """What a run has by ``--preset tuned`` where nobody says otherwise, of the common options and of ``Options``, whose
    own defaults are the paper's: ``{"lr_g": 4e-4, "ema_halflife_images": 5000}``. Options that may be unset cannot be
    among them, because no flag could unset them.
    """

    @abstractmethod
    def build(self, options: Any, spec: Spec) -> Model:
        """The model for images of ``spec``. UsageError where the options do not fit the images."""
