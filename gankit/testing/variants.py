"""What gankit relies on of a variant."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gankit.config import configure, variant_class
from gankit.core.options import fields
from gankit.core.rng import RandomStream
from gankit.models.interface import Conditional, Terms, Translator
from gankit.models.networks import uses_batch_statistics
from gankit.testing.checks import Check, Rule, checks_of, ensure
from gankit.testing.subject import NoReadBack, Retraced, Subject, plainly, saved
from gankit.training.rules import check_terms
from gankit.training.trainer import Trainer
from gankit.training.update import Update, reached

RULES: list[Rule] = []


def check_variant(variant: str | type[Any], **flags: Any) -> tuple[Check, ...]:
    """The checks of ``variant``, a registered name or a class; ``flags``: options that its networks are small with."""
    return checks_of("variants", variant, RULES, lambda name: Subject(name, flags))


def rule(name: str, why: str, change: str) -> Callable[[Callable[[Subject], str | None]], object]:
    """Make the function a check called ``name``."""

    def add(find: Callable[[Subject], str | None]) -> object:
        RULES.append((name, why, change, find))
        return find

    return add


def loss_of(terms: Terms) -> Tensor:
    """What a phase minimises."""
    return torch.stack(list(terms.losses.values())).sum()


@rule("options", "flags, TOML keys, ranges and help all follow from them", "declare each field with gankit.option")
def _options(subject: Subject) -> str | None:
    variant = variant_class(subject.name)
    ensure(dataclasses.is_dataclass(variant.Options), f"Options is {variant.Options}, no dataclass")
    for field in fields(variant.Options):
        ensure(field.described.help, f"option '{field.name}' has no help")
    for preset in ("paper", "tuned"):
        configure(subject.name, {"preset": preset})
    ensure(getattr(variant, "paper", ""), "the variant names no paper")
    return None


@rule("losses", "they are summed, differentiated and recorded by their names", "return Terms of scalar tensors by name")
def _losses(subject: Subject) -> str | None:
    trainer = subject.trainer(precision="fp64")
    for state, batch, noise, carry in subject.phases(trainer):
        terms, phase = trainer.model.terms(state.phase.name, batch, noise, carry), state.phase.name
        check_terms(trainer.model, phase, terms)
        for name, value in {**terms.losses, **terms.watch}.items():
            ensure(value.dtype == torch.float64, f"'{phase}/{name}' is {value.dtype} in a float64 run")
            ensure(torch.isfinite(value), f"'{phase}/{name}' is {value.item()}")
        for name, value in terms.losses.items():
            ensure(value.requires_grad, f"loss '{phase}/{name}' depends on no parameter")
    return None


@rule(
    "gradients where they belong", "a parameter that no loss reaches ends the run with an error",
    "name in Phase.networks what the loss reaches, and nothing else",
)  # fmt: skip
def _gradients(subject: Subject) -> str | None:
    trainer = subject.trainer()
    for state, batch, noise, carry in subject.phases(trainer):
        loss = loss_of(trainer.model.terms(state.phase.name, batch, noise, carry))
        found = torch.autograd.grad(loss, state.parameters, allow_unused=True, retain_graph=True)
        reached(trainer.model, state, found)
    return None


@rule(
    "moves its own networks alone", "another network would move without its optimizer, or keep gradients for ever",
    "leave weights to the trainer; `after` may change those of the phase's networks",
)  # fmt: skip
def _moves(subject: Subject) -> str | None:
    trainer, carry = subject.trainer(), dict[str, Tensor]()
    for state in trainer.phases:
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
        carry |= trainer.engine.update(Update(state, 0, 0, 0), carry)[1]
        moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
        others = moved - set(state.names)
        ensure(not others, f"phase '{state.phase.name}' also moves {', '.join(sorted(others))}")
        for network, start, end in state.spans:
            ensure(moved & set(state.names[start:end]), f"phase '{state.phase.name}' does not move {network}")
        left = [name for name, p in trainer.model.named_parameters() if p.grad is not None]
        ensure(not left, f"phase '{state.phase.name}' leaves gradients in {', '.join(left)} (a call of backward())")
    return None


@rule(
    "detached fakes", "the generator's graph would be walked for nothing, a third of the step",
    "detach what another network made before a phase that does not train it looks at it",
)  # fmt: skip
def _detached(subject: Subject) -> str | None:
    trainer = subject.trainer()
    for state, batch, noise, carry in subject.phases(trainer):
        loss = loss_of(trainer.model.terms(state.phase.name, batch, noise, carry))
        others = [
            (name, p)
            for network in trainer.model.ema_networks
            for name, p in trainer.model.get_submodule(network).named_parameters(network)
            if all(p is not own for own in state.parameters)
        ]
        if others and not any(name.startswith(trainer.model.ema_networks) for name in state.names):
            found = torch.autograd.grad(loss, [p for _, p in others], allow_unused=True)
            strange = [name for (name, _), grad in zip(others, found, strict=True) if grad is not None]
            ensure(not strange, f"phase '{state.phase.name}' also computes gradients of {', '.join(strange)}")
    return None


@rule(
    "randomness only through noise", "a run could not be resumed, nor be divided among GPUs",
    "draw everything in `noise` from the RandomStream, and use what it drew",
)  # fmt: skip
def _random(subject: Subject) -> str | None:
    trainer = subject.trainer()
    for state, batch, noise, carry in subject.phases(trainer):
        phase, before = state.phase.name, torch.random.get_rng_state()
        found = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            inner = torch.random.get_rng_state()
            with saved(trainer):
                found.append(trainer.model.terms(phase, batch, noise, carry).losses)
            drew = not torch.equal(inner, torch.random.get_rng_state())
            torch.random.set_rng_state(before)
            ensure(not drew, f"phase '{phase}' draws from PyTorch's own generator (dropout, randn, rand, randperm)")
        for name, value in found[0].items():
            ensure(torch.equal(value, found[1][name]), f"loss '{phase}/{name}' differs from call to call")
    for phase in [state.phase.name for state in trainer.phases] + ["sample"]:
        one, two = (trainer.model.noise(phase, 5, RandomStream("check", phase)) for _ in range(2))
        ensure(
            one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one),
            f"noise('{phase}') draws other numbers from an equal stream",
        )
    return None


@rule(
    "noise has a row an image", "a rank is handed the rows of its images",
    "draw [n, ...] for each name, or put the name into Model.whole_noise",
)  # fmt: skip
def _rows(subject: Subject) -> str | None:
    trainer = subject.trainer()
    for phase in [state.phase.name for state in trainer.phases] + ["sample"]:
        for n in (1, 5):
            for name, value in trainer.model.noise(phase, n, RandomStream("check")).items():
                ensure(value.device.type == "cpu", f"noise('{phase}')['{name}'] lies on {value.device}, not on the CPU")
                if name not in trainer.model.whole_noise:
                    ensure(value.dim() and len(value) == n, f"noise('{phase}', {n})['{name}'] is {list(value.shape)}")
    return None


@rule(
    "a static step", "a GPU would wait for Python in each step, and the step could not be captured or compiled",
    "keep values on the device: torch.where for if, tensors for numbers that change",
)  # fmt: skip
def _static(subject: Subject) -> str | None:
    trainer = subject.trainer()
    for state, batch, noise, carry in subject.phases(trainer):
        with NoReadBack():  # type: ignore[no-untyped-call]
            loss = loss_of(trainer.model.terms(state.phase.name, batch, noise, carry))
            torch.autograd.grad(loss, state.parameters, retain_graph=True)
            trainer.model.after(state.phase.name)
    return None


@rule(
    "losses are means over the batch", "several GPUs would train another model than one",
    "take .mean() over the images, and nothing that depends on the rest of a batch",
)  # fmt: skip
def _means(subject: Subject) -> str | None:
    trainer = subject.trainer(precision="fp64", **plainly(subject))
    if uses_batch_statistics(trainer.model) or trainer.model.whole_noise:
        return "batch norm or an image pool ties the images of a batch together"
    size, model = trainer.options.batch_size, trainer.model
    cuts = (slice(0, 3), slice(3, size))
    for state, batch, noise, carry in subject.phases(trainer):
        whole = torch.autograd.grad(
            loss_of(model.terms(state.phase.name, batch, noise, carry)), state.parameters, retain_graph=True
        )
        parts = [torch.zeros_like(grad) for grad in whole]
        for cut in cuts:
            some = batch.part(cut) if state.phase.data else batch
            drawn = {name: value[cut] for name, value in noise.items()}
            carried = {name: value[cut] for name, value in carry.items()}
            loss = loss_of(model.terms(state.phase.name, some, drawn, carried))
            for total, grad in zip(parts, torch.autograd.grad(loss, state.parameters, retain_graph=True), strict=True):
                total.add_(grad, alpha=(cut.stop - cut.start) / size)
        for name, one, other in zip(state.names, whole, parts, strict=True):
            ensure(
                torch.allclose(one, other, rtol=1e-7, atol=1e-9),
                f"the gradient of {name} in phase '{state.phase.name}' is not the mean of those of parts of the batch",
            )
    return None


@rule("resumes bit for bit", "a run that was killed would end as another", "keep state in parameters and buffers alone")
def _resumes(subject: Subject) -> str | None:
    flags = {"ema_halflife_images": 50}
    one, other = subject.trainer(**flags), subject.trainer(**flags)
    for _ in range(3):
        one.step()
    kept = {name: tensor.clone() for name, tensor in one.tensors().items()}
    other.restore(kept, one.done, one.drawn)
    for trainer in (one, other):
        for _ in range(3):
            trainer.step()
    again = other.tensors()
    for name, tensor in one.tensors().items():
        ensure(torch.equal(tensor, again[name]), f"{name} differs after a resume")
    return None


@rule("engines agree", "a GPU's run would be another than a CPU's", "compute with PyTorch's ops alone")
def _engines(subject: Subject) -> str | None:
    one, other = subject.trainer(precision="fp64"), subject.trainer(precision="fp64")
    engine = Retraced(other.model, other.engine.arithmetic, other.batches)
    other.engine = engine
    for trainer in (one, other):
        for _ in range(2):
            trainer.step()
    again = other.tensors()
    for name, tensor in one.tensors().items():
        ensure(
            torch.allclose(tensor.double(), again[name].double(), rtol=1e-8, atol=1e-9),
            f"{name} differs between updates run op by op and traced ones",
        )
    return None


@rule("both precisions", "bfloat16 is what GPUs are fast in", "compute losses in the type of the images handed in")
def _precisions(subject: Subject) -> str | None:
    for precision in ("fp32", "bf16"):
        trains(subject.trainer(precision=precision), f"--precision {precision}")
    return None


@rule("odd batch sizes", "people choose them, and ranks get uneven parts", "write no batch size into the code")
def _sizes(subject: Subject) -> str | None:
    for size in (2, 7):
        trains(subject.trainer(batch_size=size), f"--batch-size {size}")
    return None


@rule("grey and colour, oblong and not", "data sets are of all kinds", "take shapes from spec.shape and spec.sides")
def _shapes(subject: Subject) -> str | None:
    for more in ({"channels": 3}, {"channels": 1, "size": 16}):
        trains(subject.trainer(**more), " ".join(f"--{name} {value}" for name, value in more.items()))
    return None


@rule("samples", "pictures and scores are made of them", "return [n,C,H,W] in [-1, 1] from noise('sample', n) alone")
def _samples(subject: Subject) -> str | None:
    trainer = subject.trainer()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    one, two = trainer.sample(5), trainer.sample(5)
    ensure(one.shape[1:] == trainer.spec.shape or trainer.model.reads_images, f"samples are {list(one.shape)}")
    ensure(len(one) == 5, f"of 5 samples asked for there are {len(one)}")
    ensure(torch.isfinite(one).all() and one.abs().max() <= 1.0001, "samples are not all in [-1, 1]")
    ensure(torch.equal(one, two), "two samples of one seed differ")
    after = trainer.model.state_dict()
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    ensure(not changed, f"sampling changes {', '.join(changed)}")
    for name in trainer.model.ema_networks:
        trainer.model.get_submodule(name)
    return None


@rule(
    "conditions", "classes are asked for by `gankit sample --class`, grids and scores",
    "put labels int64 [n] into noise('sample') as 'labels', and name counts in `conditions`",
)  # fmt: skip
def _conditions(subject: Subject) -> str | None:
    model = subject.trainer().model
    if not isinstance(model, Conditional):
        return "its samples cannot be asked for"
    for name, count in model.conditions.items():
        noise = model.noise("sample", 4, RandomStream("check"))
        asked = torch.tensor([0, 1, 1, 0]) % max(count, 1) if count else torch.tensor([-1.0, 0.0, 0.5, 1.0])
        given = model.with_condition(noise, name, asked)
        ensure(given.keys() == noise.keys(), f"with_condition('{name}') changes the names of the noise")
        key = "labels" if name == "class" else name
        if count and key in given:
            ensure(torch.equal(given[key], asked), f"with_condition('{name}') does not ask for what it was told")
    return None


@rule("directions", "each is trained, looked at and judged", "translate images to images of their size")
def _directions(subject: Subject) -> str | None:
    trainer = subject.trainer()
    if not isinstance(trainer.model, Translator):
        return "it maps no images to images"
    images = trainer.images.pick(2, 0, trainer.spec.sides).images
    trainer.model.eval()
    for direction in trainer.model.directions:
        made = trainer.model.translate(images, direction, RandomStream("check"))
        ensure(made.shape == images.shape, f"'{direction}' makes {list(made.shape)} of {list(images.shape)}")
    return None


def trains(trainer: Trainer, how: str) -> None:
    """CheckFailed where two steps give figures that are not finite."""
    for _ in range(2):
        trainer.step()
    for row in trainer.take_rows():
        for name, value in row.items():
            ensure(math.isfinite(value), f"{name} is {value} at step {row['step']} with {how}")
