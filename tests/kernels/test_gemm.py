"""Matrix products in C: each against float64, beside PyTorch's own, at every SIMD level."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from gankit.kernels import cpu

pytestmark = pytest.mark.skipif(cpu._cpu is None, reason=cpu.REASON)
LEVELS = cpu._cpu.levels() if cpu._cpu else []
TYPES = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x.contiguous(),
    "columns": lambda x: x.t().contiguous().t(),
    "apart": lambda x: spread(x),
}
SHAPES = [(1, 1, 1), (3, 7, 33), (33, 65, 7), (65, 3, 130), (64, 100, 192), (192, 65, 70), (70, 1, 65), (13, 49, 2100)]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    assert cpu._cpu is not None
    threads, level = torch.get_num_threads(), cpu._cpu.level()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    cpu._cpu.use(level)


def use(level: str) -> None:
    assert cpu._cpu is not None
    cpu._cpu.use(level)


def spread(x: Tensor) -> Tensor:
    """The same values with gaps of NaN between rows and columns."""
    wide = torch.full((2 * x.shape[0], 3 * x.shape[1]), float("nan"), dtype=x.dtype)
    wide[::2, ::3] = x
    return wide[::2, ::3]


def product(
    a: Tensor, b: Tensor, dtype: torch.dtype, bias: Tensor | None = None, old: Tensor | None = None, bf16: bool = False
) -> Tensor:
    """Gemm into memory that holds NaN, with a gap after each row that must stay so."""
    m, n = a.shape[0], b.shape[1]
    wide = torch.full((m, n + 3), float("nan"), dtype=dtype)
    if old is not None:
        wide[:, :n] = old
    cpu.gemm(a, b, wide[:, :n], bias, old is not None, bf16)
    assert wide[:, n:].isnan().all(), "the gap between two rows was written to"
    return wide[:, :n]


def exactly(a: Tensor, b: Tensor, wide: bool) -> Tensor:
    if not wide:
        return a.double() @ b.double()
    x, y = (each.double().numpy().astype(np.longdouble) for each in (a, b))
    return torch.from_numpy((x @ y).astype(np.float64))


def is_close(
    result: Tensor, a: Tensor, b: Tensor, bias: Tensor | None = None, old: Tensor | None = None, bf16: bool = False
) -> bool:
    """Off by at most twice what PyTorch is off in the same type, plus one unit in the last place.

    The unit is that of the largest sum of magnitudes: where few sums are compared PyTorch's own may be off by little.
    """
    wide = torch.float64 in (a.dtype, b.dtype) and not bf16
    kind = torch.float64 if wide else torch.float32
    if bf16:
        a, b = (each.to(torch.float32).to(torch.bfloat16) for each in (a, b))
    exact, own = exactly(a, b, wide), a.to(kind) @ b.to(kind)
    largest = (a.double().abs() @ b.double().abs()).max()
    for more in (bias, old):
        if more is not None:
            exact, own, largest = exact + more.double(), own + more.to(kind), largest + more.abs().max()
    unit = max(torch.finfo(result.dtype).eps, torch.finfo(kind).eps) * largest
    allowed = 2 * (own.to(result.dtype).double() - exact).abs().max() + unit
    return bool((result.double() - exact).abs().max() <= allowed)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("level", LEVELS)
def test_a_product_is_as_exact_as_pytorchs_in_every_type_and_layout(level: str, shape: tuple[int, int, int]) -> None:
    use(level)
    m, n, k = shape
    wrong = []
    for types in itertools.product(TYPES, repeat=3):
        for layouts in itertools.product(LAYOUTS, repeat=2):
            a = LAYOUTS[layouts[0]](torch.randn(m, k).to(TYPES[types[0]]))
            b = LAYOUTS[layouts[1]](torch.randn(k, n).to(TYPES[types[1]]))
            for bf16 in (False, True):
                if not is_close(product(a, b, TYPES[types[2]], bf16=bf16), a, b, bf16=bf16):
                    wrong.append((types, layouts, bf16))
    assert wrong == []


@pytest.mark.parametrize("level", LEVELS)
def test_bias_and_what_is_accumulated_are_added_once_in_the_type_of_the_sums(level: str) -> None:
    use(level)
    wrong = []
    for m, n, k in ((64, 64, 65), (70, 33, 64), (7, 130, 3), (33, 5, 1100), (64, 128, 2100)):
        for dtype, bf16, layout in itertools.product(TYPES.values(), (False, True), LAYOUTS):
            a, b = torch.randn(m, k), LAYOUTS[layout](torch.randn(k, n))
            for bias, old in itertools.product((None, torch.randn(n).bfloat16()), (None, torch.randn(m, n).to(dtype))):
                if not is_close(product(a, b, dtype, bias, old, bf16), a, b, bias, old, bf16):
                    wrong.append((m, n, k, dtype, bf16, layout, bias is not None, old is not None))
    assert wrong == []


@pytest.mark.parametrize("level", LEVELS)
def test_the_bits_do_not_depend_on_how_many_threads_there_are(level: str) -> None:
    use(level)
    for m, n, k in ((64, 784, 512), (65, 129, 1100), (130, 67, 193), (784, 100, 64), (64, 40, 2300)):
        for layouts in itertools.product(LAYOUTS, repeat=2):
            for dtype, bf16 in ((torch.float32, False), (torch.bfloat16, True), (torch.float32, True)):
                a = LAYOUTS[layouts[0]](torch.randn(m, k).to(dtype))
                b = LAYOUTS[layouts[1]](torch.randn(k, n).to(dtype))
                results = []
                for threads in (1, 2, 3):
                    torch.set_num_threads(threads)
                    results.append(product(a, b, dtype, bf16=bf16))
                assert results[0].equal(results[1])
                assert results[0].equal(results[2])


@pytest.mark.parametrize("level", LEVELS)
def test_operands_are_rounded_to_bf16_as_pytorch_rounds_them(level: str) -> None:
    """Sums of one product, which the rounding of the operands alone decides; ties go to even."""
    use(level)
    bits = torch.arange(0x3F80_0000, 0x3F80_0000 + 0x60000, 0x1000, dtype=torch.int32)
    a, b = bits.view(torch.float32)[:, None], torch.tensor([[1.0, -2.0]])
    expected = a.bfloat16().float() @ b
    assert product(a, b, torch.float32, bf16=True).equal(expected)
    assert product(b.t(), a.t(), torch.float32, bf16=True).equal(expected.t())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bf16", [False, True])
def test_nan_and_infinity_show_in_their_rows_and_columns_alone(level: str, bf16: bool) -> None:
    use(level)
    for layouts in itertools.product(LAYOUTS, repeat=2):
        x, y = torch.rand(37, 61) + 0.5, torch.rand(61, 83) + 0.5
        x[5, 60], x[36, 0], y[60, 82] = float("nan"), float("inf"), float("-inf")
        result = product(LAYOUTS[layouts[0]](x), LAYOUTS[layouts[1]](y), torch.float32, bf16=bf16)
        expected = x @ y
        assert result.isnan().equal(expected.isnan())
        assert result.isinf().equal(expected.isinf())


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_to_sum_leaves_the_bias_or_0_or_what_was_there(level: str) -> None:
    use(level)
    a, b, bias, old = torch.empty(5, 0), torch.empty(0, 19), torch.randn(19), torch.randn(5, 19)
    for dtype in TYPES.values():
        assert product(a, b, dtype).equal(torch.zeros(5, 19, dtype=dtype))
        assert product(a, b, dtype, bias).equal(bias.to(dtype).expand(5, 19))
        assert product(a, b, dtype, old=old.to(dtype)).equal(old.to(dtype))
    for m, n in ((0, 7), (7, 0), (0, 0)):
        assert product(torch.randn(m, 4), torch.randn(4, n), torch.float32).shape == (m, n)


def test_shapes_that_do_not_fit_and_types_that_are_unknown_are_named() -> None:
    a, b, out = torch.randn(3, 4), torch.randn(4, 5), torch.empty(3, 5)
    with pytest.raises(ValueError, match=r"\(3, 4\), \(5, 4\)"):
        cpu.gemm(a, b.t(), out)
    with pytest.raises(ValueError, match="bias"):
        cpu.gemm(a, b, out, torch.zeros(3))
    with pytest.raises(TypeError, match="float64, float32 or bfloat16"):
        cpu.gemm(a.half(), b, out)
    with pytest.raises(ValueError, match="3 elements apart"):
        cpu.gemm(a, b, torch.empty(5, 3).t())


def test_a_type_code_that_is_unknown_is_refused_before_memory_is_touched() -> None:
    assert cpu._cpu is not None
    with pytest.raises(ValueError, match="is 3, not 0, 1 or 2"):
        cpu._cpu.gemm(0, 1, 1, 3, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1)


@pytest.mark.parametrize("level", LEVELS)
def test_products_of_a_batch_are_those_made_one_by_one_with_any_number_of_threads(level: str) -> None:
    use(level)
    for count, m, n, k in ((1, 65, 33, 7), (25, 100, 70, 130), (3, 400, 64, 1100), (7, 1, 48, 65), (2, 97, 16, 0)):
        for layouts in itertools.product(("rows", "columns"), repeat=2):
            for accumulate in (False, True):
                a, b = torch.randn(count, m, k), torch.randn(count, k, n)
                a = a.transpose(1, 2).contiguous().transpose(1, 2) if layouts[0] == "columns" else a
                b = b.transpose(1, 2).contiguous().transpose(1, 2) if layouts[1] == "columns" else b
                old = torch.randn(count, m, n) if accumulate else torch.full((count, m, n), float("nan"))
                expected = old.clone()
                for i in range(count):
                    cpu.gemm(a[i], b[i], expected[i], accumulate=accumulate)
                for threads in (1, 2, 3):
                    torch.set_num_threads(threads)
                    wide = torch.full((count, m + 1, n + 3), float("nan"))
                    found = wide[:, :m, :n]
                    cpu.gemm_batch(a, b, found.copy_(old), accumulate)
                    assert found.equal(expected)
                    assert wide[:, m:].isnan().all()
                    assert wide[:, :, n:].isnan().all()
