"""The networks of the papers and tutorials, layer by layer: parameters counted by hand from the widths in print."""

from __future__ import annotations

import re

import pytest
from paths import ROOT
from torch import nn

from gankit import Spec
from gankit.config import configure
from gankit.core.torch_private import BatchNorm
from gankit.registry import registry

COLOUR = Spec(3, 64, 10, names=tuple(f"class {i}" for i in range(10)))
GREY = Spec(1, 28)

TEXT = 119 * 256 + 256
"""A caption of 119 numbers, through Linear 256."""
UP = (512 * 256 * 16 + 2 * 256) + (256 * 128 * 16 + 2 * 128) + (128 * 64 * 16 + 2 * 64) + 64 * 3 * 16
"""Transposed convolutions of 4x4 from 512 maps to an image of 64x64x3, each but the last with a batch norm."""
UP_BIASES = 256 + 128 + 64 + 3
DOWN = 3 * 64 * 16 + (64 * 128 * 16 + 2 * 128) + (128 * 256 * 16 + 2 * 256) + (256 * 512 * 16 + 2 * 512)
"""Convolutions of 4x4 from 64x64x3 to 512 maps of 4x4, each but the first with a batch norm."""
DOWN_5 = 3 * 64 * 25 + (64 * 128 * 25 + 2 * 128) + (128 * 256 * 25 + 2 * 256) + (256 * 512 * 25 + 2 * 512)
DOWN_BIASES = 64 + 128 + 256 + 512
VAE_DOWN = (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256) * 9 + 2 * (32 + 64 + 128 + 256)
VAE_UP = (256 * 128 + 128 * 64 + 64 * 32 + 32 * 32) * 9 + 2 * (128 + 64 + 32 + 32) + 32 * 3 * 9 + 3
VQ_DOWN = (3 * 32 + 32 * 64 + 64 * 128 + 128 * 128) * 9 + 2 * (32 + 64 + 128 + 128)
VQ_UP = (128 * 64 + 64 * 32 + 32 * 16 + 16 * 16) * 9 + 2 * (64 + 32 + 16 + 16) + 16 * 3 * 9 + 3

RACE = {"conditioning": "text", "discriminator_kernel": 5, "joint_width": 0, "first_norm": "features", "bias": "on"}
"""The text-conditional networks: G 4x4 with a norm of its 8,192 features, D 5x5 with a head 8448 -> 1."""
RACE_G = TEXT + (100 + 256) * 8192 + 8192 + 2 * 8192 + UP + UP_BIASES
RACE_D = TEXT + DOWN_5 + DOWN_BIASES + 8448 + 1
INFO = {"q_with": "discriminator", "code_deviation": 1.0, "lambda_con": 1.0}
BIGAN = {"nz": 100, "joint_width": 0}

CASES = {
    # The PyTorch tutorial prints its layers, and none has a bias: 3,576,704 and 2,765,568.
    "dcgan": ("dcgan", {"bias": "off"}, COLOUR, {"generator": 3_576_704, "discriminator": 2_765_568}),
    # By default D's first layer and its head, which no norm follows, have one.
    "dcgan by default": ("dcgan", {}, COLOUR, {"generator": 3_576_704, "discriminator": 2_765_568 + 64 + 1}),
    "text-conditional dcgan": ("cdcgan", RACE, COLOUR, {"generator": RACE_G, "discriminator": RACE_D}),
    "text-conditional wgan-gp": (
        "cwgan-gp", {**RACE, "discriminator_norm": "batch"}, COLOUR, {"generator": RACE_G, "discriminator": RACE_D},
    ),
    "class embedding": (
        "cdcgan", {"conditioning": "embedding", "embedding_width": 50, "joint_width": 0, "bias": "off"}, COLOUR,
        {"generator": 10 * 50 + (100 + 50) * 8192 + 2 * 512 + UP, "discriminator": 10 * 50 + DOWN + 8192 + 50},
    ),
    "acgan": (
        "acgan", {"discriminator_kernel": 5, "bias": "on"}, COLOUR,
        {
            "generator": 10 * 100 + 200 * 8192 + 8192 + 2 * 512 + UP + UP_BIASES,
            "discriminator": DOWN_5 + DOWN_BIASES + 8192 * 11 + 11,
        },
    ),
    "infogan of its authors' code": (
        "infogan", INFO, GREY,
        {
            "generator": (62 + 10 + 2) * 6272 + 2 * 128 + 128 * 64 * 16 + 2 * 64 + 64 * 16,
            "discriminator": 64 * 16 + 64 + 64 * 128 * 16 + 2 * 128 + 6272 + 1,
            "q": 6272 * 128 + 2 * 128 + 128 * (10 + 2) + (10 + 2),  # a mean of each code, and no deviation
        },
    ),
    "bigan": (
        "bigan", BIGAN, COLOUR,
        {
            "discriminator": DOWN + 64 + (100 * 512 + 512) + (512 * 2048 + 2048) + (8192 + 2048) + 1,
            "encoder": DOWN + 64 + 8192 * 100 + 100,
            "generator": 3_576_704,
        },
    ),
    "bigan with z as it is": (
        "bigan", {**BIGAN, "latent_layers": 0}, COLOUR, {"discriminator": DOWN + 64 + (8192 + 100) + 1},
    ),
    "vae": (
        "vae", {}, COLOUR,
        {"encoder": VAE_DOWN + 2 * (4096 * 128 + 128), "decoder": 128 * 4096 + 4096 + VAE_UP},
    ),
    "vae with biases": (
        "vae", {"bias": "on", "likelihood": "bernoulli"}, COLOUR,
        {
            "encoder": VAE_DOWN + (32 + 64 + 128 + 256) + 2 * (4096 * 128 + 128),
            "decoder": 128 * 4096 + 4096 + VAE_UP + (128 + 64 + 32 + 32),
        },
    ),
    "vq-vae": ("vq-vae", {}, COLOUR, {"encoder": VQ_DOWN, "decoder": VQ_UP, "quantiser": 128 * 16}),
}  # fmt: skip


def commands():
    """The commands of the table "As published" in docs/variants.md."""
    section = (ROOT / "docs" / "variants.md").read_text().partition("## As published")[2].partition("\n## ")[0]
    return re.findall(r"\| `(.*)` \|\n", section.partition("|---")[2])


@pytest.mark.parametrize("command", commands())
def test_what_the_docs_call_published_is_taken_by_the_command_line(command, cli):
    done = cli("train", *command.split(), "--nz", "0")  # which is out of range, and refused last
    assert "--nz 0 is out of range" in done.output


def test_the_docs_name_a_command_for_each_network_in_print():
    assert [command.split()[0] for command in commands()] == [
        "dcgan", "cdcgan", "cwgan-gp", "acgan", "infogan", "infogan", "bigan", "vae",
    ]  # fmt: skip


def built(variant, flags, spec):
    return registry().get("variants", variant)().build(configure(variant, {"preset": "paper", **flags}).options, spec)


@pytest.mark.parametrize("case", CASES)
def test_a_published_network_has_as_many_parameters_as_its_layers_in_print(case):
    variant, flags, spec, counts = CASES[case]
    model = built(variant, flags, spec)
    for network, count in counts.items():
        assert sum(p.numel() for p in model.get_submodule(network).parameters()) == count, network


def test_the_text_conditional_networks_have_the_layers_in_print():
    model = built("cdcgan", RACE, COLOUR)
    judge, maker = model.discriminator, model.generator
    assert judge.head.weight.shape == (1, 8448)
    assert isinstance(judge.joint, nn.Identity)
    kernels = [[m.kernel_size[0] for m in net.modules() if hasattr(m, "kernel_size")] for net in (judge, maker)]
    assert kernels == [[5] * 4, [4] * 4]
    norms = [len(m.weight) for m in maker.modules() if isinstance(m, BatchNorm)]
    assert norms == [8192, 256, 128, 64]
