"""A trained generator as one .safetensors file that stands for itself: weights, options and the images' shape."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from gankit.build import DTYPES, build_model
from gankit.config import Config
from gankit.core.errors import DamagedFile, GankitError, UsageError
from gankit.core.files import atomic_write, explained
from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Spec
from gankit.core.version import __version__
from gankit.models.interface import Model
from gankit.models.sampling import sample
from gankit.runs.folder import RunFolder

CHECKED = 8
"""Images that the exported file must give exactly as the run does."""


def export(run: RunFolder, output: str | Path) -> Path:
    """Write the networks that sampling needs, averaged where the run has an average, to ``output``.

    The file is loaded again before it gets its name, and must give the same images bit for bit. UsageError where the
    package safetensors is not installed; GankitError where the images differ.
    """
    library, output = _safetensors(), Path(output)
    if output.suffix != ".safetensors":
        raise UsageError(f"-o {output}: end it with .safetensors")
    model = run.load()
    tensors = {
        f"{network}.{name}": tensor.contiguous()
        for network in model.ema_networks
        for name, tensor in model.get_submodule(network).state_dict().items()
    }
    config = {**run.config.as_dict(), "spec": run.spec.as_dict()}
    written: bytes = library.torch.save(tensors, {"gankit": __version__, "config": json.dumps(config)})
    with explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        unchecked = output.with_name(f".{output.stem}.unchecked.safetensors")
        atomic_write(unchecked, written)
        try:
            check(model, load(unchecked), run.spec)
        except BaseException:
            unchecked.unlink()
            raise
        os.replace(unchecked, output)
    return output


def load(path: str | Path) -> Model:
    """The model in a file that ``export`` wrote, in eval mode, without the networks that only training needs.

    DamagedFile where it is none. UsageError where the package safetensors is not installed.
    """
    library, path = _safetensors(), Path(path)
    try:
        with library.safe_open(path, "pt") as file:
            values = json.loads(file.metadata()["config"])
        tensors: dict[str, Tensor] = library.torch.load_file(path)
        spec = Spec(**values.pop("spec"))
    except (OSError, ValueError, KeyError, TypeError, library.SafetensorError) as error:
        raise DamagedFile(f"{path}: not a generator that `gankit export` wrote ({error})") from error
    config = Config.from_dict(values)
    model = build_model(config, spec).to(DTYPES[config.train.precision])
    for network in model.ema_networks:
        own = {name.removeprefix(f"{network}."): t for name, t in tensors.items() if name.startswith(f"{network}.")}
        try:
            model.get_submodule(network).load_state_dict(own)
        except RuntimeError as error:
            raise DamagedFile(f"{path}: its tensors are not those of {config.variant}'s {network}") from error
    _drop_the_rest(model)
    return model.eval().requires_grad_(False)


def tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, by name. DamagedFile where it is none."""
    library = _safetensors()
    try:
        found: dict[str, Tensor] = library.torch.load_file(path)
    except (OSError, ValueError, library.SafetensorError) as error:
        raise DamagedFile(f"{path}: cannot be read as safetensors ({error})") from error
    return found


def _drop_the_rest(model: nn.Module) -> None:
    """Take off what was not exported, such as a discriminator: it has random weights, and must not be used."""
    assert isinstance(model, Model)
    kept = {name.partition(".")[0] for name in model.ema_networks}
    for name in [name for name, _ in model.named_children() if name not in kept]:
        delattr(model, name)


def check(model: Model, loaded: Model, spec: Spec) -> None:
    """GankitError where the two give other images for the same latents, or the same images to start from."""
    one, two = (_images(each, spec) for each in (model, loaded))
    if not torch.equal(one, two):
        raise GankitError(
            f"the exported generator gives other images, off by up to {float((one - two).abs().max()):.2g}; "
            "nothing was written"
        )


def _images(model: Model, spec: Spec) -> Tensor:
    shape = (CHECKED, *spec.shape)
    some, others = (2 * RandomStream(0, "export", name).uniform(*shape) - 1 for name in ("images", "other"))
    batch = Batch(some, other=others) if model.reads_images else None
    dtype = next(model.parameters()).dtype
    return sample(model, CHECKED, 0, torch.device("cpu"), dtype, batch)


def _safetensors() -> ModuleType:
    """The package, with its functions for PyTorch. UsageError saying how to get it where it is not installed."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise UsageError("a .safetensors file needs the package safetensors: pip install 'gankit[export]'") from error
    return safetensors
