"""Generators as TorchScript and as torch.export see them: PyTorch's own ops, from the exported file."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import gankit
from gankit import RandomStream
from gankit.runs.export import export, load

SMALL = {"size": 16, "limit": 8, "batch_size": 4, "ngf": 4, "ndf": 4, "steps": 1, "quiet": True}
CASES = [("dcgan", {}), ("wgan-gp", {"generator_norm": "instance"}), ("cdcgan", {}), ("cyclegan", {"blocks": 1})]


def trace(net, inputs):
    """Its TorchScript. PyTorch calls that way old, and warns that a translator's padding is that of the traced size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(net, (inputs,))


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def generators(request, tmp_path_factory):
    """Each generator of an exported run, with an input of three rows."""
    variant, flags = request.param
    root = tmp_path_factory.mktemp("traced")
    run = gankit.train(variant, out=root / "run", **SMALL, **flags)
    model = load(export(run, root / "g.safetensors"))
    if isinstance(model.generator, nn.ModuleDict):
        images = 2 * RandomStream(0, "images").uniform(3, run.spec.channels, 16, 16) - 1
        return [(net, images) for net in model.generator.values()]
    return [(model.generator, model.latents(model.noise("sample", 3, RandomStream(0, "traced"))))]


def test_a_traced_generator_gives_the_images_of_the_generator_for_any_number(generators):
    for net, inputs in generators:
        traced = trace(net, inputs)
        assert torch.allclose(traced(inputs), net(inputs), atol=1e-5)
        more = torch.cat([inputs.flip(0), inputs])
        assert torch.allclose(traced(more), net(more), atol=1e-5)
        assert "PythonOp" not in str(traced.graph)


def test_a_traced_generator_can_be_saved_and_read_without_gankit(generators, tmp_path):
    net, inputs = generators[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(trace(net, inputs), tmp_path / "g.pt")
        again = torch.jit.load(tmp_path / "g.pt")
    assert torch.allclose(again(inputs), net(inputs), atol=1e-5)


def test_torch_export_takes_a_generator(generators):
    for net, inputs in generators:
        assert torch.allclose(torch.export.export(net, (inputs,)).module()(inputs), net(inputs), atol=1e-5)


def test_outside_of_a_trace_the_own_convolutions_are_used_again(generators):
    net, inputs = generators[0]
    before = net(inputs)
    trace(net, inputs)
    assert torch.equal(net(inputs), before)
