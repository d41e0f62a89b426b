"""Winograd's algorithm computes a convolution; if not, CycleGAN, DCGAN and WGAN-GP would train other networks than the
papers', unseen.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn

from gankit.core.rng import RandomStream
from gankit.cpu import convolution, scratch, strided_winograd, winograd
from gankit.cpu.convolution import Conv2d, ConvTranspose2d
from gankit.kernels import cpu, prefer_impl
from gankit.kernels.cpu import PHASE_POINTS, POINTS, Transform

pytestmark = pytest.mark.skipif(not cpu.multiplies_well(), reason="needs the C extension, and AVX2 for its products")


class Case(NamedTuple):
    """A convolution of 3x3 windows with stride 1, by winograd.py, or of 4x4 with stride 2, by strided_winograd.py."""

    way: object
    n: int
    into: int
    out: int
    height: int
    width: int
    padding: int

    @property
    def kernel(self):
        return 3 if self.way is winograd else 4

    @property
    def stride(self):
        return 1 if self.way is winograd else 2

    @property
    def size(self):
        return tuple((side - self.kernel + 2 * self.padding) // self.stride + 1 for side in (self.height, self.width))


CASES = {
    "3x3: as in CycleGAN": Case(winograd, 1, 256, 256, 34, 34, 0),
    "3x3: images in parts": Case(winograd, 5, 128, 64, 34, 34, 1),
    "3x3: three images, odd channels": Case(winograd, 3, 67, 65, 18, 34, 0),
    "3x3: odd height and width": Case(winograd, 2, 64, 64, 21, 39, 1),
    "3x3: less than a tile": Case(winograd, 2, 5, 7, 3, 3, 0),
    "3x3: one pixel": Case(winograd, 1, 1, 1, 1, 1, 1),
    "3x3: more tiles than are moved at once": Case(winograd, 1, 3, 2, 4, 301, 1),
    "3x3: tiles of two chunks in one row": Case(winograd, 2, 3, 2, 37, 45, 1),
    "3x3: no image": Case(winograd, 0, 5, 7, 9, 9, 0),
    "4x4: as in DCGAN": Case(strided_winograd, 16, 64, 128, 16, 16, 1),
    "4x4: images in parts": Case(strided_winograd, 33, 64, 32, 32, 32, 1),
    "4x4: filters in parts": Case(strided_winograd, 4, 128, 256, 8, 8, 1),
    "4x4: no whole tile": Case(strided_winograd, 3, 16, 48, 14, 6, 1),
    "4x4: odd sides, no padding": Case(strided_winograd, 2, 32, 16, 23, 17, 0),
    "4x4: one pixel": Case(strided_winograd, 2, 16, 16, 2, 2, 1),
    "4x4: no image": Case(strided_winograd, 0, 16, 32, 8, 8, 1),
}
CLOSE = {winograd: 8, strided_winograd: 6}
"""Times PyTorch's own error in float32 that these may have; the largest seen are 5 and 4."""


def drawn(case, dtype=torch.float32):
    it = CASES[case]
    x = RandomStream(0, "x").normal(it.n, it.into, it.height, it.width)
    weight = RandomStream(0, "weight").normal(it.out, it.into, it.kernel, it.kernel)
    grad = RandomStream(0, "grad").normal(it.n, it.out, *it.size)
    order = torch.contiguous_format if it.way is winograd else torch.channels_last
    return [tensor.to(dtype).contiguous(memory_format=order) for tensor in (x, weight, grad)]


def products(case):
    (x, weight, grad), it = drawn(case), CASES[case]
    return [
        it.way.convolve(x, weight, it.padding),
        it.way.input_gradient(grad, weight, x.shape[2:], it.padding),
        it.way.weight_gradient(grad, x, it.padding),
    ]


def pytorchs(case, dtype=torch.float32):
    (x, weight, grad), it = drawn(case, dtype), CASES[case]
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = nn.functional.conv2d(x, weight, stride=it.stride, padding=it.padding)
    return [y.detach(), *torch.autograd.grad(y, (x, weight), grad)]


def error(found, exact):
    return float((found.detach().double() - exact.detach()).norm())


@pytest.mark.parametrize("case", CASES)
def test_all_three_products_are_within_a_small_multiple_of_pytorchs_rounding(case):
    exact = pytorchs(case, torch.float64)
    for mine, theirs, right in zip(products(case), pytorchs(case), exact, strict=True):
        assert mine.shape == right.shape
        assert mine.stride() == theirs.stride() or mine.numel() <= 1
        assert error(mine, right) <= CLOSE[CASES[case].way] * error(theirs, right) + 2e-7 * float(right.norm())


def test_a_filter_that_moves_an_image_moves_it_to_the_pixel():
    """Independent of PyTorch: one filter of a single 1 is a shift, and 0.75, 1.5 and their powers are exact."""
    x = RandomStream(0, "x").normal(1, 1, 11, 10)
    for row in range(3):
        for column in range(3):
            weight = torch.zeros(1, 1, 3, 3)
            weight[0, 0, row, column] = 1
            torch.testing.assert_close(
                winograd.convolve(x, weight, 0), x[:, :, row : row + 9, column : column + 8], rtol=0, atol=1e-5
            )


def test_a_strided_filter_of_a_single_1_takes_every_second_pixel():
    x = RandomStream(0, "x").normal(1, 16, 12, 16).contiguous(memory_format=torch.channels_last)
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    for row in range(4):
        for column in range(4):
            weight = torch.zeros(16, 16, 4, 4)
            weight[range(16), range(16), row, column] = 1
            found = strided_winograd.convolve(x, weight.contiguous(memory_format=torch.channels_last), 1)
            expected = padded[:, :, row : row + 12 : 2, column : column + 16 : 2]
            torch.testing.assert_close(found, expected[:, :, :6, :8], rtol=0, atol=1e-5)


@pytest.fixture(autouse=True)
def _by_c():
    """Also where GANKIT_IMPL prefers another implementation."""
    with prefer_impl("cpu"):
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


def transforms(case):
    """What each transform makes of numbers, in memory that held NaN."""
    it = CASES[case]
    grid = tuple(-(-side // 4) for side in it.size)
    tiles, nan = it.n * grid[0] * grid[1], float("nan")
    shapes = {
        "INPUT": (it.n, it.into, it.height, it.width),
        "OUTPUT": (it.n, it.out, *it.size),
        "FILTER": (it.out, it.into, it.kernel, it.kernel),
    }
    for name, shape in shapes.items():
        filters, padding = name == "FILTER", it.padding if name == "INPUT" else 0
        if it.way is winograd:
            matrices, order, run = (POINTS, shape[1], tiles), torch.contiguous_format, cpu.winograd
            matrices = (POINTS, *shape[:2]) if filters else matrices
        else:
            matrices = (PHASE_POINTS, it.out if filters else tiles, shape[1] * (1 if name == "OUTPUT" else 4))
            order, run = torch.channels_last, cpu.polyphase
        plain, points = RandomStream(0, name).normal(*shape), RandomStream(1, name).normal(*matrices)
        for kind in (Transform[name], Transform[f"{name}_TRANSPOSED"]):
            forward = kind in (Transform.INPUT, Transform.OUTPUT_TRANSPOSED, Transform.FILTER)
            here = (plain if forward else torch.full(shape, nan)).contiguous(memory_format=order)
            there = torch.full(matrices, nan) if forward else points
            run(kind, here, there, padding, (1, 1) if filters else grid)
            yield there if forward else here


@pytest.mark.parametrize("case", CASES)
def test_every_vector_width_gives_a_transforms_bits(case, levels):
    found = []
    for level in levels:
        cpu._cpu.use(level)
        found.append(list(transforms(case)))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


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
def test_the_number_of_threads_changes_no_bit_of_a_product(case, threads):
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(products(case))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_memory_that_is_used_again_leaves_no_trace(case):
    before = products(case)
    for block in scratch._scratch.blocks.values():
        block.fill_(float("nan"))
    assert all(torch.equal(one, two) for one, two in zip(before, products(case), strict=True))


def test_memory_from_an_evaluation_in_inference_mode_serves_training_too(monkeypatch):
    monkeypatch.setattr(scratch, "_scratch", scratch.Scratch())
    layer, x = Conv2d(64, 64, 3, padding=1, last=False), RandomStream(0, "x").normal(1, 64, 32, 32)
    with torch.inference_mode():
        before = layer(x)
    after = layer(x)
    after.sum().backward()
    assert torch.equal(before, after)


PLAIN, STRIDED, UPWARDS = "3x3", "4x4 with stride 2", "transposed"
KINDS = [PLAIN, STRIDED, UPWARDS]


def layers(kind=PLAIN, bias=True, padding=1):
    """A layer of ours, PyTorch's of the same weights, and an input for which Winograd's algorithm is chosen."""
    torch.manual_seed(0)
    options = {"padding": padding, "bias": bias}
    if kind == PLAIN:
        mine, theirs = Conv2d(64, 65, 3, last=False, **options), nn.Conv2d(64, 65, 3, **options)
    elif kind == STRIDED:
        mine, theirs = Conv2d(32, 16, 4, 2, **options), nn.Conv2d(32, 16, 4, 2, **options)
    else:
        mine, theirs = ConvTranspose2d(32, 16, 4, 2, **options), nn.ConvTranspose2d(32, 16, 4, 2, **options)
    theirs.load_state_dict(mine.state_dict())
    return mine, theirs, RandomStream(0, "x").normal(4, mine.in_channels, *((8, 8) if kind == UPWARDS else (17, 18)))


@pytest.fixture
def chosen(monkeypatch):
    """The names of the products that ran by Winograd's algorithm."""
    names = []
    for module in (winograd, strided_winograd):
        for name in ("convolve", "input_gradient", "weight_gradient"):
            whole = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *args, whole=whole, name=name: names.append(name) or whole(*args))
    return names


def gradients(layer, x):
    """Output, gradients, and those of a gradient penalty."""
    x = x.clone().requires_grad_()
    y = layer(x)
    parameters = [x, *layer.parameters()]
    first = torch.autograd.grad(y.square().sum(), parameters, create_graph=True)
    penalty = (first[0].square().flatten(1).sum(1).sqrt() - 1).square().mean()
    return [y, *first, *torch.autograd.grad(penalty, parameters, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_a_layers_gradients_and_those_of_a_penalty_are_pytorchs(kind, padding, bias, chosen):
    mine, theirs, x = layers(kind, bias=bias, padding=padding)
    found = gradients(mine, x)
    assert set(chosen) == {"convolve", "input_gradient", "weight_gradient"}
    exact = gradients(theirs.double(), x.double())
    for one, two in zip(found, exact, strict=True):
        assert error(one, two) <= 1e-5 * two.norm() + 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_the_memory_order_of_image_and_weight_changes_no_bit(kind, order, chosen):
    mine, _, x = layers(kind)
    before = gradients(mine, x)
    after = gradients(mine.to(memory_format=order), x.contiguous(memory_format=order))
    assert set(chosen) == {"convolve", "input_gradient", "weight_gradient"}
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def not_chosen():
    """Layers and inputs for which Winograd's algorithm is not chosen, by the reason."""
    x = RandomStream(0, "x").normal(4, 64, 17, 18)
    yield "float64", Conv2d(64, 64, 3, last=False).double(), x.double()
    yield "float16", Conv2d(64, 64, 3, last=False).half(), x.half()
    yield "few channels", Conv2d(63, 64, 3, last=False), x[:, :63]
    yield "few tiles", Conv2d(64, 64, 3, last=False), x[:1]
    yield "small images", Conv2d(64, 64, 3, last=False), x[:, :, :9, :9].repeat(9, 1, 1, 1)
    yield "no image", Conv2d(64, 64, 3, last=False), x[:0]
    yield "5x5", Conv2d(64, 64, 5, padding=1, last=False), x
    yield "stride 2", Conv2d(64, 64, 3, 2, 1, last=False), x
    yield "padding 2", Conv2d(64, 64, 3, padding=2, last=False), x
    yield "channels last", Conv2d(64, 64, 3, padding=1), x
    yield "4x4: float64", Conv2d(64, 64, 4, 2, 1).double(), x.double()
    yield "4x4: bfloat16", Conv2d(64, 64, 4, 2, 1).bfloat16(), x.bfloat16()
    yield "4x4: channels that are no whole lines", Conv2d(63, 64, 4, 2, 1), x[:, :63]
    yield "4x4: few tiles", Conv2d(64, 64, 4, 2, 1), x[:3, :, :16, :16]
    yield "4x4: most of a tile outside", Conv2d(64, 64, 4, 2, 1), x[:, :, :10, :10].repeat(9, 1, 1, 1)
    yield "4x4: no image", Conv2d(64, 64, 4, 2, 1), x[:0]
    yield "4x4: stride 1", Conv2d(64, 64, 4, 1, 1), x
    yield "4x4: padding 2", Conv2d(64, 64, 4, 2, 2), x
    yield "4x4: channels first", Conv2d(64, 64, 4, 2, 1, last=False), x


@pytest.mark.parametrize(("layer", "x"), [pytest.param(*rest, id=name) for name, *rest in not_chosen()])
def test_what_it_does_not_support_is_left_to_pytorch(layer, x, chosen):
    x = x.clone().requires_grad_()
    layer(x).float().square().sum().backward()
    assert chosen == []


def test_bfloat16_layers_run_in_float32_unless_the_processor_multiplies_tiles_of_it(chosen, monkeypatch):
    mine, theirs, x = layers()
    layer, x = mine.bfloat16(), x.bfloat16()
    monkeypatch.setattr(winograd, "_has_amx", lambda: True)
    layer(x)
    assert chosen == []
    monkeypatch.setattr(winograd, "_has_amx", lambda: False)
    found = gradients(layer, x)
    assert set(chosen) == {"convolve", "input_gradient", "weight_gradient"}
    exact = gradients(theirs.bfloat16().double(), x.double())
    for one, two in zip(found, exact, strict=True):
        assert one.dtype == torch.bfloat16
        assert error(one, two) <= 2e-2 * two.norm() + 1e-12


def test_an_image_whose_tiles_would_fill_the_memory_is_left_to_pytorch(chosen, monkeypatch):
    mine, _, x = layers()
    monkeypatch.setattr(winograd, "LARGEST", POINTS * 65 * 65)
    mine(x)
    monkeypatch.setattr(winograd, "LARGEST", POINTS * 65 * 65 - 1)
    mine(x)
    assert chosen == ["convolve"]


def test_filters_or_tiles_that_would_fill_the_memory_are_left_to_pytorch(chosen, monkeypatch):
    mine, _, x = layers(STRIDED)
    monkeypatch.setattr(strided_winograd, "LARGEST", PHASE_POINTS * 4 * 32 * 16)
    mine(x)
    monkeypatch.setattr(strided_winograd, "LARGEST", PHASE_POINTS * 4 * 32 * 16 - 1)
    mine(x)
    assert chosen == ["convolve"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_c_extension_a_layer_is_pytorchs(kind, chosen):
    mine, theirs, x = layers(kind)
    with prefer_impl("ref"):
        torch.testing.assert_close(mine(x), theirs(x))
    assert chosen == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_for_a_compiler_sees_pytorchs_own_ops(kind, chosen):
    from torch.fx.experimental.proxy_tensor import make_fx

    mine, _, x = layers(kind)
    make_fx(lambda x: torch.autograd.grad(mine(x).sum(), mine.weight))(x)
    assert chosen == []


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_a_pass_drops_are_not_made(kind, chosen):
    mine, _, x = layers(kind)
    x.requires_grad_()
    torch.autograd.grad(mine(x).sum(), x)
    assert chosen == (["input_gradient", "convolve"] if kind == UPWARDS else ["convolve", "input_gradient"])


def test_a_transposed_convolution_of_stride_1_is_the_same_map(chosen):
    mine = convolution.ConvTranspose2d(65, 64, 3, padding=1, last=False)
    theirs = nn.ConvTranspose2d(65, 64, 3, padding=1)
    theirs.load_state_dict(mine.state_dict())
    x = RandomStream(0, "x").normal(4, 65, 17, 18)
    found, exact = gradients(mine, x), gradients(theirs.double(), x.double())
    assert set(chosen) == {"convolve", "input_gradient", "weight_gradient"}
    for one, two in zip(found, exact, strict=True):
        assert error(one, two) <= 1e-5 * two.norm() + 1e-12
