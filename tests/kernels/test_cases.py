"""Every implementation that runs here against the formulas, on the shared cases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gankit.cli.profile import OPS as OFFERED
from gankit.kernels import cases, cpu, gather, implementations, interpolate, l1_terms, norm_penalty

AVAILABLE = [each.name for each in implementations() if each.available]
CASES = [case for op in cases.OPS for case in cases.cases(op)]


@pytest.mark.parametrize("impl", AVAILABLE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{case}")
def test_outputs_and_gradients_match_the_formulas(case: cases.Case, impl: str) -> None:
    assert cases.failures(case, impl) == []


def test_every_op_has_cases_and_is_offered_for_profiling() -> None:
    assert sorted(cases.OPS) == OFFERED


@pytest.mark.parametrize("impl", AVAILABLE)
@pytest.mark.parametrize("op", cases.OPS)
def test_two_runs_on_the_same_input_give_the_same_bits(op: str, impl: str) -> None:
    case = cases.Case(op, (2, 3, 83, 101))
    assert same_bits(cases.run(case, impl), cases.run(case, impl))


@pytest.mark.skipif("cpu" not in AVAILABLE, reason=cpu.REASON)
@pytest.mark.parametrize("op", cases.OPS)
def test_the_c_code_gives_the_same_bits_at_every_thread_count_and_simd_level(op: str) -> None:
    assert cpu._cpu is not None
    case = cases.Case(op, (2, 3, 183, 201), "fp16" if op == "interpolate" else "fp32")
    threads, level = torch.get_num_threads(), cpu._cpu.level()
    results = []
    try:
        for each in cpu._cpu.levels():
            cpu._cpu.use(each)
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                results.append(cases.run(case, "cpu"))
    finally:
        torch.set_num_threads(threads)
        cpu._cpu.use(level)
    assert len(results) >= 3
    assert all(same_bits(results[0], other) for other in results[1:])


@pytest.mark.skipif("cpu" not in AVAILABLE, reason=cpu.REASON)
def test_every_simd_level_passes_the_cases() -> None:
    assert cpu._cpu is not None
    level = cpu._cpu.level()
    try:
        for each in cpu._cpu.levels():
            cpu._cpu.use(each)
            wrong = [f"{each} {case.op}-{case}" for case in CASES if cases.failures(case, "cpu")]
            assert wrong == []
    finally:
        cpu._cpu.use(level)


@pytest.mark.skipif("cpu" not in AVAILABLE, reason=cpu.REASON)
@pytest.mark.parametrize(
    "kind", ["fp32", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("bf16", "fp16", "fp64"))]
)
def test_outputs_too_large_for_the_caches_are_written_whole_from_any_alignment(kind: str) -> None:
    dtype = cases.TYPES[kind]
    n = (26 << 20) // dtype.itemsize // 7  # 26 MiB: past the size from which the C code streams
    for start in (0, 1, 3):
        with cases.poisoned():
            real, fake = (torch.randn(7 * n + 3).to(dtype)[start : start + 7 * n].view(7, n) for _ in range(2))
            t = torch.rand(7)
            assert interpolate(real, fake, t, impl="cpu").equal(interpolate(real, fake, t, impl="ref"))
            real.requires_grad_()
            for op in (_penalty_of(real), _l1_of(real, fake)):
                ours, plain = (torch.autograd.grad(op(impl), real)[0] for impl in ("cpu", "ref"))
                torch.testing.assert_close(ours, plain)


@pytest.mark.skipif("cpu" not in AVAILABLE, reason=cpu.REASON)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_a_batch_too_large_for_the_caches_is_written_whole(last: bool) -> None:
    images = torch.randint(0, 256, (9, 3, 261, 263), dtype=torch.uint8)
    index, flip = torch.arange(40) % 9, torch.arange(40) % 2 == 0
    order = torch.channels_last if last else torch.contiguous_format
    with cases.poisoned():
        ours = gather(images, index, flip, memory_format=order, impl="cpu")
    assert ours.equal(gather(images, index, flip, memory_format=order, impl="ref"))


def _penalty_of(real: torch.Tensor) -> Callable[[str], torch.Tensor]:
    return lambda impl: norm_penalty(real, impl=impl)[0]


def _l1_of(real: torch.Tensor, fake: torch.Tensor) -> Callable[[str], torch.Tensor]:
    return lambda impl: l1_terms([(real, fake)], [2.0], impl=impl).sum()


def same_bits(first: cases.Results, second: cases.Results) -> bool:
    return all(
        first[name].view(torch.uint8).equal(second[name].view(torch.uint8)) for name in first if first[name].dim()
    )
