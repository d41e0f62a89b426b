"""A density fitted to the latents of a run, so that a model without a prior of its own can be sampled from.

Kept in the run folder as density.pt: tensors and JSON with a digest, as a checkpoint is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from gankit.core import checkpoint
from gankit.core.errors import GankitError, UsageError
from gankit.core.ranks import current
from gankit.core.rng import RandomStream
from gankit.inference import code_vae
from gankit.inference import gaussian_mixture as mixture
from gankit.inference import reconstruct as encoding
from gankit.models.interface import Encoder, Quantised
from gankit.models.sampling import CHUNK
from gankit.runs.folder import RunFolder


def fit(
    run: RunFolder,
    kind: str = "mixture",
    components: int = 16,
    dims: int = 256,
    latents: int = 5000,
    steps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a density to the first ``latents`` images' and keep it; returns what is said of it.

    "mixture": ``components`` Gaussians on ``dims`` principal components, or as many as there are. "vae": a VAE on the
    codes of a VQ-VAE, trained for ``steps``. UsageError for a run whose model does not encode, or has no codes.
    """
    tensors, about = fitted(run, kind, components, dims, latents, steps, seed)
    checkpoint.save(run.root / "density.pt", tensors, about)
    return about


def fitted(
    run: RunFolder,
    kind: str = "mixture",
    components: int = 16,
    dims: int = 256,
    latents: int = 5000,
    steps: int = 2000,
    seed: int = 0,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, what is said of it) of the density of ``fit``, which is not kept."""
    model = encoding.load(run)
    images = encoding.images_of(run, limit=latents)
    points = encoding.encode(model, images.images, run.spec.sides)
    about: dict[str, Any] = {"kind": kind, "latents": len(points), "width": points.shape[1], **_belongs_to(run)}
    if kind == "mixture":
        if len(points) < 2 * components:
            raise UsageError(f"--components {components} is too many for {len(points)} latents")
        tensors, said = _mixture(points.double(), components, dims, seed)
    else:
        tensors, said = _codes(run, model, points, steps, seed)
    return tensors, {**about, **said}


def _mixture(points: Tensor, components: int, dims: int, seed: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    pca = mixture.principal(points, dims, RandomStream(seed, "components"))
    projected = pca.project(points)
    kept = float(projected.var(0).sum() / points.var(0).sum())
    if not math.isfinite(kept):
        raise GankitError("the latents are all the same, so no density can be fitted; train the run further")
    fitted, likelihood = mixture.fit(projected, components, RandomStream(seed, "mixture"))
    tensors = {"mean": pca.mean, "directions": pca.directions}
    tensors |= {"weights": fitted.weights, "means": fitted.means, "factors": fitted.factors}
    said = {"components": components, "dims": len(pca.directions), "variance kept": kept, "log likelihood": likelihood}
    return tensors, said


def _codes(
    run: RunFolder, model: Encoder, points: Tensor, steps: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not isinstance(model, Quantised):
        raise UsageError(f"{run.root}: {run.config.variant} has no codes for --kind vae; use --kind mixture")
    codebook = model.codebook.float()
    codes = points.float().reshape(len(points), -1, codebook.shape[1])
    index = torch.cat([torch.cdist(some.flatten(0, 1), codebook).argmin(1) for some in torch.split(codes, 100)])
    index = index.view(codes.shape[:2])
    vae, loss = code_vae.fit(index, codebook, steps, seed)
    said = {"steps": steps, "nats": loss, "nats of uniform codes": codes.shape[1] * math.log(len(codebook))}
    return dict(vae.state_dict()), said


def _belongs_to(run: RunFolder) -> dict[str, Any]:
    """What tells the weights that a density was fitted for from others."""
    latest = run.latest()
    assert latest is not None
    return {"step": latest[1]["step"], "options": latest[1]["options"]}


def exists(run: RunFolder) -> bool:
    """Whether a density was fitted for ``run``."""
    return (run.root / "density.pt").exists()


def stream(run: RunFolder, n: int, seed: int = 0) -> Iterator[Tensor]:
    """N images in parts, in [-1, 1], from the run's density. UsageError where there is none, or the run was trained on
    since.
    """
    if not exists(run):
        raise UsageError(f"{run.root}: no density was fitted; call `gankit density {run.root}`")
    tensors, about = checkpoint.load(run.root / "density.pt")
    if any(about[name] != value for name, value in _belongs_to(run).items()):
        raise UsageError(
            f"{run.root}: was trained on since its density was fitted; call `gankit density {run.root}` again"
        )
    return drawn(run, tensors, about, n, seed)


def drawn(run: RunFolder, tensors: dict[str, Tensor], about: dict[str, Any], n: int, seed: int = 0) -> Iterator[Tensor]:
    """N images in parts, in [-1, 1], from the density that ``fitted`` gave of the run as it is."""
    model = encoding.load(run)
    back, points = _drawn(tensors, about, n, RandomStream(seed, "density"))
    return _decoded(model, back, points)


@torch.no_grad()
def _decoded(model: Encoder, back: Callable[[Tensor], Tensor], points: Tensor) -> Iterator[Tensor]:
    dtype = next(model.parameters()).dtype
    for some in current().own(torch.split(points, CHUNK)):
        yield model.decode(back(some).to(dtype))


@torch.no_grad()
def _drawn(
    tensors: dict[str, Tensor], about: dict[str, Any], n: int, draws: RandomStream
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """N points of the density, and what makes latents of them; those are wide, so not all at once."""
    if about["kind"] == "mixture":
        fitted = mixture.Mixture(tensors["weights"], tensors["means"], tensors["factors"])
        return mixture.Components(tensors["mean"], tensors["directions"]).back, fitted.draw(n, draws)
    vae = code_vae.CodeVAE(about["width"] // tensors["codebook"].shape[1], tensors["codebook"])
    vae.load_state_dict(tensors)
    return vae.likeliest, draws.normal(n, code_vae.LATENT)
