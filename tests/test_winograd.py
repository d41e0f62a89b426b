"""Winograd's algorithm computes a convolution; if not, CycleGAN would train other networks than the paper's, unseen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gankit import convolution, winograd
from gankit.convolution import Conv2d
from gankit.kernels import cpu, steered
from gankit.kernels.cpu import POINTS, Transform
from gankit.keys import Draws

pytestmark = pytest.mark.skipif(cpu._cpu is None, reason=f"needs the C extension: {cpu.REASON}")

# images, channels in, channels out, height, width, padding
CASES = {
    "as in CycleGAN": (1, 256, 256, 34, 34, 0),
    "three images, odd channels": (3, 67, 65, 18, 34, 0),
    "odd height and width": (2, 64, 64, 21, 39, 1),
    "less than a tile": (2, 5, 7, 3, 3, 0),
    "one pixel": (1, 1, 1, 1, 1, 1),
    "more tiles than are moved at once": (1, 3, 2, 4, 301, 1),
    "tiles of two chunks in one row": (2, 3, 2, 37, 45, 1),
    "no image": (0, 5, 7, 9, 9, 0),
}
CLOSE = 8
"""Times PyTorch's own error in float32 that these may have; the largest seen is 5."""


def drawn(case, dtype=torch.float32):
    n, into, out, height, width, padding = CASES[case]
    x = Draws(0, "x").normal(n, into, height, width)
    weight = Draws(0, "weight").normal(out, into, 3, 3)
    grad = Draws(0, "grad").normal(n, out, height - 2 + 2 * padding, width - 2 + 2 * padding)
    return [tensor.to(dtype) for tensor in (x, weight, grad)] + [padding]


def products(x, weight, grad, padding):
    return [
        winograd.convolved(x, weight, padding),
        winograd.by_input(grad, weight, x.shape[2:], padding),
        winograd.by_weight(grad, x, padding),
    ]


def pytorchs(x, weight, grad, padding):
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = nn.functional.conv2d(x, weight, padding=padding)
    return [y.detach(), *torch.autograd.grad(y, (x, weight), grad)]


def error(found, exact):
    return float((found.detach().double() - exact.detach()).norm())


@pytest.mark.parametrize("case", CASES)
def test_all_three_products_are_within_a_small_multiple_of_pytorchs_rounding(case):
    exact = pytorchs(*drawn(case, torch.float64))
    for mine, theirs, right in zip(products(*drawn(case)), pytorchs(*drawn(case)), exact, strict=True):
        assert mine.shape == right.shape
        assert error(mine, right) <= CLOSE * error(theirs, right) + 2e-7 * float(right.norm())


def test_a_filter_that_moves_an_image_moves_it_to_the_pixel():
    """Independent of PyTorch: one filter of a single 1 is a shift, and 0.75, 1.5 and their powers are exact."""
    x = Draws(0, "x").normal(1, 1, 11, 10)
    for row in range(3):
        for column in range(3):
            weight = torch.zeros(1, 1, 3, 3)
            weight[0, 0, row, column] = 1
            torch.testing.assert_close(
                winograd.convolved(x, weight, 0), x[:, :, row : row + 9, column : column + 8], rtol=0, atol=1e-5
            )


@pytest.fixture(autouse=True)
def _by_c():
    """Also where GANKIT_IMPL prefers another implementation."""
    with steered("cpu"):
        yield


@pytest.fixture
def levels():
    """The SIMD levels; the one in use comes back."""
    before = cpu._cpu.level()
    yield cpu._cpu.levels()
    cpu._cpu.use(before)


@pytest.fixture
def threads():
    """Sets the number of threads; the earlier one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_every_vector_width_gives_the_same_bits(case, levels):
    found = []
    for level in levels:
        cpu._cpu.use(level)
        found.append(products(*drawn(case)))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def transforms(case):
    """What each transform makes of numbers, in memory that held NaN."""
    n, into, out, height, width, padding = CASES[case]
    size = (height - 2 + 2 * padding, width - 2 + 2 * padding)
    grid = tuple(-(-side // 4) for side in size)
    nan = float("nan")
    shapes = {"INPUT": (n, into, height, width), "OUTPUT": (n, out, *size), "FILTER": (out, into, 3, 3)}
    for name, shape in shapes.items():
        filters = name == "FILTER"
        matrices = (POINTS, *shape[:2]) if filters else (POINTS, shape[1], n * grid[0] * grid[1])
        plain, points = Draws(0, name).normal(*shape), Draws(1, name).normal(*matrices)
        for kind in (Transform[name], Transform[f"{name}_TRANSPOSED"]):
            forward = kind in (Transform.INPUT, Transform.OUTPUT_TRANSPOSED, Transform.FILTER)
            here = plain if forward else torch.full(shape, nan)
            there = torch.full(matrices, nan) if forward else points
            moved = (1, 1) if filters else grid
            cpu.winograd(kind, here, there, padding if name == "INPUT" else 0, moved)
            yield there if forward else here


@pytest.mark.parametrize("case", CASES)
def test_transforms_fill_what_they_are_given_whatever_the_number_of_threads(case, threads):
    found = []
    for count in (1, 2, 3, 7):
        threads(count)
        found.append(list(transforms(case)))
    assert all(one.isfinite().all() for one in found[0])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_memory_that_is_used_again_leaves_no_trace(case):
    before = products(*drawn(case))
    for held in winograd._scratch.held.values():
        held.fill_(float("nan"))
    assert all(torch.equal(one, two) for one, two in zip(before, products(*drawn(case)), strict=True))


def test_memory_from_an_evaluation_in_inference_mode_serves_training_too(monkeypatch):
    monkeypatch.setattr(winograd, "_scratch", winograd._Scratch())
    layer, x = Conv2d(64, 64, 3, padding=1, last=False), Draws(0, "x").normal(1, 64, 32, 32)
    with torch.inference_mode():
        before = layer(x)
    after = layer(x)
    after.sum().backward()
    assert torch.equal(before, after)


def layers(dtype=torch.float32, bias=True, into=64, padding=1):
    """A layer of ours, PyTorch's of the same weights, and an input for which Winograd's algorithm is chosen."""
    options = {"padding": padding, "bias": bias}
    mine, theirs = Conv2d(into, 65, 3, last=False, **options), nn.Conv2d(into, 65, 3, **options)
    theirs.load_state_dict(mine.state_dict())
    return mine.to(dtype), theirs.to(dtype), Draws(0, "x").normal(4, into, 17, 18).to(dtype)


@pytest.fixture
def chosen(monkeypatch):
    """The names of the products that ran by Winograd's algorithm."""
    names = []
    for name in ("convolved", "by_input", "by_weight"):
        whole = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *args, whole=whole, name=name: names.append(name) or whole(*args))
    return names


def gradients(layer, x):
    """Output, gradients, and those of a gradient penalty."""
    x = x.clone().requires_grad_()
    y = layer(x)
    parameters = [x, *layer.parameters()]
    first = torch.autograd.grad(y.square().sum(), parameters, create_graph=True)
    penalty = (first[0].square().flatten(1).sum(1).sqrt() - 1).square().mean()
    return [y, *first, *torch.autograd.grad(penalty, parameters, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_a_layers_gradients_and_those_of_a_penalty_are_pytorchs(padding, bias, chosen):
    mine, theirs, x = layers(bias=bias, padding=padding)
    found = gradients(mine, x)
    assert set(chosen) == {"convolved", "by_input", "by_weight"}
    exact = gradients(theirs.double(), x.double())
    for one, two in zip(found, exact, strict=True):
        assert error(one, two) <= 1e-5 * two.norm() + 1e-12


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_the_memory_order_of_image_and_weight_changes_no_bit(order, chosen):
    mine, _, x = layers()
    before = gradients(mine, x)
    after = gradients(mine.to(memory_format=order), x.contiguous(memory_format=order))
    assert "convolved" in chosen
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def left_alone():
    """Layers and inputs for which the present way is kept, by what is special about them."""
    x = Draws(0, "x").normal(4, 64, 17, 18)
    yield "float64", Conv2d(64, 64, 3, last=False).double(), x.double()
    yield "bfloat16", Conv2d(64, 64, 3, last=False).bfloat16(), x.bfloat16()
    yield "few channels", Conv2d(63, 64, 3, last=False), x[:, :63]
    yield "few tiles", Conv2d(64, 64, 3, last=False), x[:1]
    yield "small images", Conv2d(64, 64, 3, last=False), x[:, :, :9, :9].repeat(9, 1, 1, 1)
    yield "no image", Conv2d(64, 64, 3, last=False), x[:0]
    yield "5x5", Conv2d(64, 64, 5, padding=1, last=False), x
    yield "stride 2", Conv2d(64, 64, 3, 2, 1, last=False), x
    yield "padding 2", Conv2d(64, 64, 3, padding=2, last=False), x
    yield "channels last", Conv2d(64, 64, 3, padding=1), x


@pytest.mark.parametrize(("layer", "x"), [pytest.param(*rest, id=name) for name, *rest in left_alone()])
def test_what_it_does_not_cover_is_left_to_pytorch(layer, x, chosen):
    x = x.clone().requires_grad_()
    layer(x).float().square().sum().backward()
    assert chosen == []


def test_an_image_whose_tiles_would_fill_the_memory_is_left_to_pytorch(chosen, monkeypatch):
    mine, _, x = layers()
    monkeypatch.setattr(winograd, "LARGEST", POINTS * 65 * 4 * 25)
    mine(x)
    monkeypatch.setattr(winograd, "LARGEST", POINTS * 65 * 4 * 25 - 1)
    mine(x)
    assert chosen == ["convolved"]


def test_without_the_c_extension_a_layer_is_pytorchs(chosen):
    mine, theirs, x = layers()
    with steered("ref"):
        assert torch.equal(mine(x), theirs(x))
    assert chosen == []


def test_a_trace_for_a_compiler_sees_pytorchs_own_ops(chosen):
    from torch.fx.experimental.proxy_tensor import make_fx

    mine, _, x = layers()
    make_fx(lambda x: torch.autograd.grad(mine(x).sum(), mine.weight))(x)
    assert chosen == []


def test_gradients_that_a_pass_drops_are_not_made(chosen):
    mine, _, x = layers()
    x.requires_grad_()
    torch.autograd.grad(mine(x).sum(), x)
    assert chosen == ["convolved", "by_input"]


def test_a_transposed_convolution_of_stride_1_is_the_same_map(chosen):
    mine = convolution.ConvTranspose2d(65, 64, 3, padding=1, last=False)
    theirs = nn.ConvTranspose2d(65, 64, 3, padding=1)
    theirs.load_state_dict(mine.state_dict())
    x = Draws(0, "x").normal(4, 65, 17, 18)
    found, exact = gradients(mine, x), gradients(theirs.double(), x.double())
    assert set(chosen) == {"convolved", "by_input", "by_weight"}
    for one, two in zip(found, exact, strict=True):
        assert error(one, two) <= 1e-5 * two.norm() + 1e-12
