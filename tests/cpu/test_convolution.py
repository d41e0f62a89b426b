"""gankit's convolutions are PyTorch's; if not, every convolutional variant would train another network than it says."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.core.rng import RandomStream
from gankit.cpu import convolution
from gankit.cpu.convolution import Conv2d, ConvTranspose2d

# channels in, channels out, size, kernel, stride, padding, output padding
CASES = {
    "one channel in": (1, 8, 8, 4, 2, 1, 0),
    "three channels in": (3, 8, 9, 5, 2, 2, 1),
    "inner, strided": (6, 8, 8, 4, 2, 1, 0),
    "inner, kernel 3": (6, 5, 7, 3, 1, 1, 0),
    "rows that no window reaches": (6, 5, 10, 3, 2, 0, 1),
    "three channels out": (8, 3, 9, 7, 1, 0, 0),
    "one channel out, padded": (8, 1, 6, 4, 1, 1, 0),
    "few both ways": (3, 1, 6, 3, 1, 2, 0),
    "padding wider than the kernel": (6, 2, 5, 3, 1, 4, 0),
    "1x1": (6, 5, 4, 1, 1, 0, 0),
}


def layers(case, transposed, bias, dtype=torch.float64):
    torch.manual_seed(0)  # of some weights a penalty's gradient is a difference with few digits left
    into, out, size, kernel, stride, padding, more = CASES[case]
    kinds = (ConvTranspose2d, nn.ConvTranspose2d) if transposed else (Conv2d, nn.Conv2d)
    extra = {"output_padding": more if stride > 1 else 0} if transposed else {}
    mine, theirs = (kind(into, out, kernel, stride, padding, bias=bias, **extra).to(dtype) for kind in kinds)
    theirs.load_state_dict(mine.state_dict())
    x = RandomStream(0, "x").normal(2, into, size, size).to(dtype)
    return mine, theirs, x


def gradients(layer, x):
    """Output, gradients, and those of a gradient penalty."""
    x = x.clone().requires_grad_()
    y = layer(x)
    parameters = [x, *layer.parameters()]
    first = torch.autograd.grad((y * y).sum(), parameters, create_graph=True)
    penalty = (first[0].square().flatten(1).sum(1).sqrt() - 1).square().mean()
    return [y, *first, *torch.autograd.grad(penalty, parameters, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_outputs_gradients_and_those_of_a_penalty_are_pytorchs(case, transposed, bias):
    if transposed and case == "padding wider than the kernel":
        pytest.skip("a transposed convolution of this padding leaves no pixel")
    mine, theirs, x = layers(case, transposed, bias)
    for one, two in zip(gradients(mine, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
@pytest.mark.parametrize("case", CASES)
def test_float32_and_its_memory_orders_stay_within_rounding(case, transposed):
    if transposed and case == "padding wider than the kernel":
        pytest.skip("a transposed convolution of this padding leaves no pixel")
    mine, theirs, x = layers(case, transposed, True, torch.float32)
    exact = gradients(theirs.double(), x.double())
    for order in (torch.contiguous_format, torch.channels_last):
        for one, two in zip(gradients(mine, x.contiguous(memory_format=order)), exact, strict=True):
            assert (one - two).norm() <= 1e-5 * two.norm() + 1e-12


@pytest.mark.parametrize("case", CASES)
def test_the_weights_memory_order_changes_no_bit(case):
    mine, _, x = layers(case, False, True, torch.float32)
    before = gradients(mine, x)
    mine.to(memory_format=torch.channels_last)
    assert all(torch.equal(one, two) for one, two in zip(before, gradients(mine, x), strict=True))


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
def test_spectral_norm_takes_one_step_of_its_power_iteration_a_pass(transposed):
    mine, theirs, x = layers("inner, strided", transposed, True)
    axis = 1 if transposed else 0
    mine, theirs = (spectral_norm(layer, dim=axis) for layer in (mine, theirs))
    theirs.load_state_dict(mine.state_dict())
    for _ in range(3):
        torch.testing.assert_close(mine(x), theirs(x), rtol=1e-11, atol=1e-11)


def test_a_gradient_asked_for_within_autocast_is_of_its_outputs_precision():
    mine, theirs, x = layers("three channels in", False, False, torch.float32)
    found = []
    for layer in (mine, theirs):
        some = x.clone().requires_grad_()
        y = layer(some)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(torch.autograd.grad(y.square().sum(), some)[0])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_torch_compile_takes_a_network_whole():
    net = nn.Sequential(Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), convolution.ChannelsLast(), nn.Flatten())
    x = RandomStream(0, "x").normal(2, 1, 8, 8)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
@pytest.mark.parametrize("case", CASES)
def test_autocast_rounds_as_it_does_pytorchs_convolutions(case, transposed):
    if transposed and case == "padding wider than the kernel":
        pytest.skip("a transposed convolution of this padding leaves no pixel")
    mine, theirs, x = layers(case, transposed, True, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        some, other = gradients(mine, x), gradients(theirs, x)
    exact = gradients(theirs.double(), x.double())
    assert some[0].dtype == torch.bfloat16
    assert all(grad.dtype == torch.float32 for grad in some[1:])
    for part in (slice(1), slice(1, 4), slice(4, 7)):  # output, gradients, those of the penalty
        one, two, right = (
            torch.cat([tensor.double().flatten() for tensor in each[part]]) for each in (some, other, exact)
        )
        assert (one - right).norm() <= 2 * (two - right).norm() + 0.01 * right.norm()


def test_what_the_functions_do_not_support_is_left_to_pytorch():
    x = RandomStream(0, "x").normal(2, 4, 9, 9)
    for options in (
        {"dilation": 2},
        {"groups": 2},
        {"padding": "same"},
        {"stride": (1, 2)},
        {"padding_mode": "reflect"},
    ):
        settings = {"padding": 1} | options
        mine, theirs = Conv2d(4, 4, 3, **settings), nn.Conv2d(4, 4, 3, **settings)
        theirs.load_state_dict(mine.state_dict())
        assert torch.equal(mine(x), theirs(x))


def test_a_trace_for_a_compiler_sees_pytorchs_own_ops():
    from torch.fx.experimental.proxy_tensor import make_fx

    mine, _, x = layers("inner, strided", False, False)
    graph = make_fx(lambda x: torch.autograd.grad(mine(x).sum(), mine.weight))(x)
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert {"aten.convolution.default", "aten.convolution_backward.default"} <= called


def test_gradgradcheck_holds_for_small_layers():
    for (into, out), transposed in itertools.product(((2, 5), (5, 2), (5, 6)), (False, True)):
        layer = (ConvTranspose2d if transposed else Conv2d)(into, out, 3, 2, 1).double()
        x = RandomStream(0, "x").normal(1, into, 4, 4).double().requires_grad_()

        def run(x, weight, layer=layer):
            return torch.func.functional_call(layer, {"weight": weight}, (x,))

        weight = layer.weight.detach().requires_grad_()
        assert torch.autograd.gradcheck(run, (x, weight))
        assert torch.autograd.gradgradcheck(run, (x, weight))


def test_gradients_that_a_pass_drops_are_not_made(monkeypatch):
    made = []
    backward = convolution._backward

    def seen(grad, x, weight, geometry, wanted):
        made.append(wanted)
        return backward(grad, x, weight, geometry, wanted)

    monkeypatch.setattr(convolution, "_backward", seen)
    layer, head = Conv2d(6, 8, 4, 2, 1), Conv2d(8, 7, 4, 2, 1)
    x = RandomStream(0, "x").normal(2, 6, 8, 8).requires_grad_()
    torch.autograd.grad(head(layer(x)).sum(), x, retain_graph=True)
    assert made == [[True, False, False]] * 2
    made.clear()
    head(layer(x)).sum().backward(inputs=list(head.parameters()))
    assert made == [[False, True, False]]
    made.clear()
    head(layer(x)).sum().backward()
    assert sorted(made) == [[False, True, False]] * 2 + [[True, False, False]] * 2
