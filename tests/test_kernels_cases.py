"""Every implementation that runs here against the formulas, on the shared cases."""

from __future__ import annotations

import pytest
import torch

from gankit.kernels import cases, cpu, implementations

AVAILABLE = [each.name for each in implementations() if each.available]
CASES = [case for op in cases.OPS for case in cases.cases(op)]


@pytest.mark.parametrize("impl", AVAILABLE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{case}")
def test_outputs_and_gradients_match_the_formulas(case: cases.Case, impl: str) -> None:
    assert cases.failures(case, impl) == []


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


def same_bits(first: cases.Results, second: cases.Results) -> bool:
    return all(
        first[name].view(torch.uint8).equal(second[name].view(torch.uint8)) for name in first if first[name].dim()
    )
