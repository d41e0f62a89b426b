"""Plans: what the C extension computes of a trace, held to PyTorch's own ops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from gankit.cpu.plan.ir import Call, Elementwise, Gemm, Unsupported
from gankit.cpu.plan.lower import Lowering
from gankit.cpu.plan.plan import Plan
from gankit.cpu.plan.simplify import simplify
from gankit.kernels import cpu

pytestmark = pytest.mark.skipif(bool(cpu.REASON), reason=f"plans run in the C extension: {cpu.REASON}")

LEVELS = cpu._cpu.levels() if cpu._cpu is not None else []
SIZES = [(1, 1), (3, 7), (5, 33), (64, 65), (130, 17), (2, 5000)]
CLOSE = {torch.float64: {"rtol": 1e-12, "atol": 1e-12}, torch.float32: {"rtol": 3e-6, "atol": 3e-6}}


@pytest.fixture(params=LEVELS)
def level(request):
    before = cpu._cpu.level()
    cpu._cpu.use(request.param)
    yield request.param
    cpu._cpu.use(before)


def plan(f: Callable[..., list[Tensor]], *xs: Tensor) -> Plan:
    graph = make_fx(f, tracing_mode="fake")(*xs)
    graph.graph.eliminate_dead_code()
    made = Plan(graph)
    made.arena.view(torch.uint8).fill_(255)  # NaN in every floating type
    return made


def steps(f: Callable[..., list[Tensor]], *xs: Tensor) -> list[object]:
    graph = make_fx(f, tracing_mode="fake")(*xs)
    low = Lowering(graph)
    simplify(low)
    return list(low.steps)


def check(f: Callable[..., list[Tensor]], *xs: Tensor, **tolerance: float) -> None:
    """The plan of ``f`` gives what ``f`` gives, twice: nothing is left over from the first run."""
    made = plan(f, *xs)
    for _ in range(2):
        wanted = f(*(x.clone() for x in xs))
        for ours, theirs in zip(made(*(x.clone() for x in xs)), wanted, strict=True):
            assert ours.dtype == theirs.dtype
            options = tolerance or CLOSE.get(ours.dtype, {"rtol": 0, "atol": 0})
            torch.testing.assert_close(ours, theirs, equal_nan=True, **options)


def numbers(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


ELEMENTWISE = {
    "arithmetic": lambda x, y: [x + y, x - y, x * y, x / (y.abs() + 1), 2 - x, x + 2, torch.add(x, y, alpha=0.5)],
    "signs": lambda x, y: [-x, x.abs(), x.sign(), x.sgn(), x**2, x.abs().sqrt(), x.abs() ** 0.5, (x.abs() + 1).rsqrt()],
    "growth": lambda x, y: [x.exp(), (x.abs() + 0.1).log(), x.abs().log1p(), (10 * x).exp(), (x + 3).reciprocal()],
    "squashing": lambda x, y: [x.tanh(), (x * 1e-4).tanh(), (x * 30).tanh(), x.sigmoid(), (x * 30).sigmoid()],
    "softplus": lambda x, y: [F.softplus(x), F.softplus(50 * x), F.softplus(x, 2.0)],
    "kinks": lambda x, y: [F.leaky_relu(x, 0.2), F.relu(x), x.clamp(-0.5, 0.5), x.clamp(min=0)],
    "choices": lambda x, y: [torch.where(x > y, x, y), x.masked_fill(x < 0, 7.0), x.maximum(y), x.minimum(y)],
    "comparisons": lambda x, y: [(x >= y) & (x > 0), (x < y) | (x <= 0), ~(x == y), x != y],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_instruction_gives_what_pytorchs_op_gives(name, dtype, level):
    for r, c in SIZES:
        x = numbers(r, c, dtype=dtype)
        for y in (
            numbers(r, c, dtype=dtype, seed=1),
            numbers(c, dtype=dtype, seed=1),
            numbers(r, 1, dtype=dtype, seed=1),
        ):
            check(ELEMENTWISE[name], x, y)


def test_what_is_not_finite_stays_what_it_is(level):
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-30, 88.5, -88.5, 89.5, 3e38] * 5)
    check(lambda x: [x.exp(), x.tanh(), x.sigmoid(), x.abs(), F.leaky_relu(x, 0.2), x.clamp(-1, 1), x.sign(), x + 1], x)
    check(lambda x: [x.sum(), x.amax(0), x.mean()], x.view(5, 10))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sums_over_rows_columns_and_all_are_pytorchs_and_can_be_used_at_once(dtype, level):
    def sums(x: Tensor) -> list[Tensor]:
        centred = x - x.mean(1, keepdim=True)
        level = x / x.abs().sum(0)
        both = [(centred * level).sum(0, keepdim=True), (x - x.mean(0)).square().sum(1)]
        norms = [torch.linalg.vector_norm(x), torch.linalg.vector_norm(x, dim=1)]
        return [x.sum(0), x.sum(1), x.sum(), x.mean(), centred, level, x.amax(1), *both, *norms]

    tolerance = {"rtol": 1e-11, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-4}
    for r, c in SIZES:
        check(sums, numbers(r, c, dtype=dtype), **tolerance)


def test_views_transposed_concatenated_and_sliced_tensors_are_read_by_their_strides(level):
    x = numbers(6, 4, 10)
    check(
        lambda x: [x.view(6, 40) + 1, x[2:5] * x[1, :, ::3].sum(), x.transpose(0, 1) * 2, x.permute(2, 0, 1).exp()], x
    )
    check(
        lambda x: [
            torch.cat([x, x * 2]),
            torch.cat([x, x + 1], 2),
            torch.stack([x.sum(), x.mean()]),
            x.expand(2, 6, 4, 10) + 1,
        ],
        x,
    )
    check(lambda x: [part * 2 for part in x.split([1, 5])] + [x.unbind(1)[2].t() + x[:, 0].t()], x)
    check(lambda x: [x * x[:, :1, :1] + x[0, :, 0].view(4, 1)], x)


def test_changes_in_place_are_seen_after_them_and_not_before(level):
    def changed(x: Tensor) -> list[Tensor]:
        y = x * 2
        before = y + 1
        view = y[1:]
        y.mul_(3)
        view.add_(100)
        y[:, 0].zero_()
        return [before, y, view + 0]

    check(changed, numbers(3, 5))


def test_an_input_changed_in_place_is_changed_when_all_have_read_it():
    x, counter = numbers(4, 3), torch.tensor(7)

    def step(x: Tensor, counter: Tensor) -> list[Tensor]:
        before = x * 2
        x.add_(1)
        counter += 1
        return [before, x * 1, counter]

    made = plan(step, x.clone(), counter.clone())
    mine, count = x.clone(), counter.clone()
    before, after, same = made(mine, count)
    assert torch.equal(before, x * 2)
    assert torch.equal(mine, x + 1)
    assert torch.equal(after, x + 1)
    assert int(count) == 8
    assert same.data_ptr() == count.data_ptr()  # a later update goes on with the input itself


def test_an_input_is_not_changed_before_a_later_step_has_read_it():
    def step(x: Tensor, y: Tensor) -> list[Tensor]:
        first = x * 2  # opens a group that what follows could join
        late = (y @ y).sum() * x
        transposed = x.view(4, 4).t() * 2
        x.add_(1)
        return [first, late, transposed]

    x, y = numbers(16), numbers(4, 4, seed=1)
    made = plan(step, x, y)
    mine = x.clone()
    found = made(mine, y)
    for ours, theirs in zip(found, step(x.clone(), y), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.equal(mine, x + 1)


NORMS = {"none": nn.Identity, "batch": lambda: nn.BatchNorm1d(24), "layer": lambda: nn.GroupNorm(1, 24)}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("batch", [2, 3, 65])
def test_a_networks_gradients_and_a_penaltys_are_pytorchs(norm, batch, level):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(7, 16), nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(16, 24), NORMS[norm](), nn.LeakyReLU(0.2),
        nn.Linear(24, 1),
    ).double()  # fmt: skip
    parameters = dict(net.named_parameters())
    buffers = dict(net.named_buffers())

    def update(x: Tensor, *state: Tensor) -> list[Tensor]:
        weights = {n: s.detach().requires_grad_() for n, s in zip(parameters, state, strict=False)}
        statistics = dict(zip(buffers, state[len(weights) :], strict=True))
        x = x.detach().requires_grad_()
        score = functional_call(net, {**weights, **statistics}, (x,))
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        loss = F.softplus(score).mean() + (slope.norm(2, 1) - 1).square().mean()
        return [loss, *torch.autograd.grad(loss, list(weights.values()), allow_unused=False), *statistics.values()]

    state = [t.detach().clone() for t in (*parameters.values(), *buffers.values())]
    check(update, numbers(batch, 7), *state, rtol=1e-9, atol=1e-11)


def paths(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    """A weight's gradient, [4, 6], from three paths over batches of 5, 5 and 3."""
    return [x.t() @ y + (x * 2).t() @ (y * 3) + (z * 2).t() @ (z @ x.t() @ y), (z * 2).sum()]


def test_a_weights_gradient_from_several_paths_is_one_product():
    given = numbers(5, 4), numbers(5, 6, seed=1), numbers(3, 4, seed=2)

    def made_here(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
        return paths(x + 1, y + 1, z + 1)

    found = [step for step in steps(made_here, *given) if isinstance(step, Gemm) and step.out.shape == (4, 6)]
    assert [(step.a.shape, step.accumulate) for step in found] == [((4, 13), False)]
    check(made_here, *given)


def test_a_gradient_whose_operands_are_inputs_accumulates_in_place():
    given = numbers(5, 4), numbers(5, 6, seed=1), numbers(3, 4, seed=2)
    found = [step for step in steps(paths, *given) if isinstance(step, Gemm) and step.out.shape == (4, 6)]
    assert [step.accumulate for step in found] == [False, True, True]
    assert len({id(step.out.buffer) for step in found}) == 1
    check(paths, *given)


def interpolated(real: Tensor, fake: Tensor, t: Tensor, w: Tensor, b: Tensor) -> list[Tensor]:
    """A layer at two endpoints and at the interpolants, and the gradient of its weight from all three."""
    fake = (fake * 3).view(-1, 1, 7, 1)
    between = fake + t.view(-1, 1, 1, 1) * (real - fake)
    w = w.detach().requires_grad_()
    ends, points = F.linear(torch.cat([real, fake]).flatten(1), w, b), F.linear(between.flatten(1), w, b)
    loss = ends.tanh().sum() + points.square().sum()
    return [ends, points, *torch.autograd.grad(loss, w)]


@pytest.mark.parametrize("swapped", [False, True])
def test_interpolants_take_no_product_of_their_own(swapped):
    images = numbers(5, 1, 7, 1), numbers(5, 1, 7, 1, seed=1)
    given = *images, numbers(5, seed=2), numbers(4, 7, seed=3), numbers(4, seed=4)

    def update(real: Tensor, fake: Tensor, *rest: Tensor) -> list[Tensor]:
        return interpolated(fake, real, *rest) if swapped else interpolated(real, fake, *rest)

    shapes = sorted(tuple(step.a.shape) for step in steps(update, *given) if isinstance(step, Gemm))
    assert shapes == [(4, 10), (10, 7)]
    check(update, *given)


def test_interpolants_take_no_product_of_their_own_in_bfloat16_and_lose_no_digits():
    def update(real: Tensor, fake: Tensor, t: Tensor, w: Tensor, b: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=real.dtype == torch.float32):
            return interpolated(real, fake, t, w, b)[2:]

    given = [numbers(64, 1, 7, 1), numbers(64, 1, 7, 1, seed=1), numbers(64, seed=2), numbers(16, 7, seed=3)]
    given = [tensor.float() for tensor in (*given, numbers(16, seed=4))]
    shapes = sorted(tuple(step.a.shape) for step in steps(update, *given) if isinstance(step, Gemm))
    assert shapes == [(16, 128), (128, 7)]
    (found,), (theirs,) = plan(update, *given)(*given), update(*given)
    (exact,) = update(*(tensor.double() for tensor in given))
    assert (found - exact).norm() <= 1.5 * (theirs - exact).norm()


def test_a_weight_that_autocast_rounds_for_each_use_is_rounded_once():
    def twice(x: Tensor, y: Tensor, w: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return [F.linear(x + 1, w).float(), F.linear(y + 1, w).float()]

    given = [tensor.float() for tensor in (numbers(5, 7), numbers(3, 7, seed=1), numbers(4, 7, seed=2))]
    shapes = [step.out.shape for step in steps(twice, *given) if isinstance(step, Elementwise) and step.name == "COPY"]
    assert shapes.count((4, 7)) == 1
    check(twice, *given, rtol=2**-7, atol=1e-6)


def test_points_that_interpolate_no_two_batches_keep_their_products():
    def update(real: Tensor, fake: Tensor, t: Tensor, w: Tensor, b: Tensor) -> list[Tensor]:
        between = fake + t.view(-1, 1) * (real - fake * 2)
        return [F.linear(torch.cat([real, fake]), w, b), F.linear(between, w, b)]

    given = numbers(5, 7), numbers(5, 7, seed=1), numbers(5, seed=2), numbers(4, 7, seed=3), numbers(4, seed=4)
    assert sum(isinstance(step, Gemm) for step in steps(update, *given)) == 2
    check(update, *given)


def test_a_sum_whose_parts_are_needed_elsewhere_stays_a_sum():
    def shared(x: Tensor, y: Tensor) -> list[Tensor]:
        product = x @ y
        return [product + y @ x, product]

    assert not any(isinstance(step, Gemm) and step.accumulate for step in steps(shared, numbers(4, 4), numbers(4, 4)))
    check(shared, numbers(4, 4), numbers(4, 4, seed=1))


def test_bfloat16_is_rounded_where_it_is_stored_and_products_are_those_of_its_values(level):
    x, w = numbers(9, 17, dtype=torch.float32), numbers(5, 17, dtype=torch.float32, seed=1)

    def narrow(x: Tensor, w: Tensor) -> list[Tensor]:
        a, b = x.bfloat16(), w.bfloat16()
        return [a, a @ b.t(), (a @ b.t()).float() * 2]

    found = plan(narrow, x, w)(x, w)
    exact = x.bfloat16().double() @ w.bfloat16().double().t()
    assert torch.equal(found[0], x.bfloat16())
    torch.testing.assert_close(found[1].double(), exact, rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(found[2].double(), 2 * exact, rtol=2**-7, atol=1e-6)


def test_an_op_without_an_instruction_is_pytorchs_own():
    x = numbers(4, 6)

    def others(x: Tensor) -> list[Tensor]:
        picked = x.sort(1).values[:, :2]
        y = x * 2
        y.index_copy_(0, torch.tensor([1, 3]), x[:2])
        return [torch.erf(x) + picked.sum(), y, x.argmax(1), x.amax(0), x.view(2, 2, 2, 3).sum((1, 3))]

    assert any(isinstance(step, Call) for step in steps(others, x))
    check(others, x)


def test_bitwise_ops_on_integers_are_not_those_on_bools():
    x, y = torch.tensor([6, 3, 12]), torch.tensor([3, 5, 10])
    check(lambda x, y: [x & y, x | y, ~x, x * y, x + y, (x > 4) & (y > 4)], x, y)


def test_random_ops_draw_again_in_every_run():
    made = plan(lambda x: [torch.rand(3) + x, torch.rand_like(x) + x], numbers(3))
    first, again = ([out.clone() for out in made(numbers(3))] for _ in range(2))
    assert not any(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_what_no_plan_can_represent_is_named():
    with pytest.raises(Unsupported, match="float16"):
        plan(lambda x: [x.half() * 2], numbers(3, 3))


def test_threads_change_no_bit(level):
    x, w = numbers(70, 300, dtype=torch.float32), numbers(40, 300, dtype=torch.float32, seed=1)

    def some(x: Tensor, w: Tensor) -> list[Tensor]:
        h = F.leaky_relu(x @ w.t(), 0.2)
        return [h, h.sum(0), h.sum(1), h.sum(), (h - h.mean(0)).exp().sum(0), x.square().sum()]

    made = plan(some, x, w)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append([out.clone() for out in made(x, w)])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_elementwise_results_are_the_same_at_every_vector_width():
    x = numbers(13, 77, dtype=torch.float32)

    def some(x: Tensor) -> list[Tensor]:
        return [x.tanh(), x.exp() * x.sigmoid(), (x - x.mean(1, keepdim=True)) / (x.square().sum(0) + 1), x.sum()]

    made, before, found = plan(some, x), cpu._cpu.level(), []
    for name in LEVELS:
        cpu._cpu.use(name)
        found.append([out.clone() for out in made(x)])
    cpu._cpu.use(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_steps_that_depend_on_invariant_weights_alone_run_again_when_these_change():
    x, w = numbers(4, 3, dtype=torch.float32), numbers(5, 3, dtype=torch.float32, seed=1)
    graph = make_fx(lambda x, w: [x.bfloat16() @ w.bfloat16().t()], tracing_mode="fake")(x, w)
    versions = {"w": 0}
    made = Plan(graph, invariant_inputs={1: "w"}, weight_versions=versions)
    first = made(x, w)[0].clone()
    assert torch.equal(made(x, w)[0], first)
    w.mul_(2)  # counted by PyTorch
    assert torch.equal(made(x, w)[0], 2 * first)
    w.data.mul_(2)  # counted only by who changed it
    versions["w"] += 1
    assert torch.equal(made(x, w)[0], 4 * first)
    assert torch.equal(made(x, 8 * w)[0], 32 * first)


def test_inputs_with_other_strides_are_copied():
    x = numbers(4, 6)
    made = plan(lambda x: [x * 2], x)
    assert torch.equal(made(x.t().contiguous().t())[0], x * 2)
