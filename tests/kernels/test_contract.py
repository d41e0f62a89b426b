"""What the ops promise beyond their values: orders of differentiation, errors, layouts, and who runs them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from gankit import kernels
from gankit.kernels import (
    build_log,
    dispatch,
    gather,
    implementations,
    interpolate,
    l1_terms,
    layout,
    norm_penalty,
    prefer_impl,
)

AVAILABLE = [each.name for each in implementations() if each.available]
each_impl = pytest.mark.parametrize("impl", AVAILABLE)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=dtype).to(DEVICE)


def test_the_package_exports_functions_though_their_modules_have_the_same_names() -> None:
    for op in (gather, interpolate, l1_terms, norm_penalty):
        name = op.__name__
        module = importlib.import_module(f"gankit.kernels.{name}")
        assert vars(module)[name] is op
        assert vars(kernels)[name] is op, "importing the module again put it in the place of the function"


def test_the_c_extension_is_loaded() -> None:
    if os.environ.get("GANKIT_WITHOUT_EXTENSION") == "1":
        pytest.skip("GANKIT_WITHOUT_EXTENSION=1: this machine has no compiler, and says so")
    assert "cpu" in AVAILABLE, build_log() or dispatch.cpu.REASON


def test_auto_takes_the_fastest_that_runs_on_a_cpu_tensor() -> None:
    x = torch.ones(2, 3)
    natural = "cpu" if "cpu" in AVAILABLE else "ref"
    asked = os.environ.get("GANKIT_IMPL")
    wanted = asked if asked in AVAILABLE else natural
    assert dispatch.choose("auto", x) == wanted


@each_impl
def test_interpolate_passes_gradgradcheck(impl: str) -> None:
    ends = [draw(2, 1, 2, 3, dtype=torch.float64) * k for k in (1, 2)]
    t = draw(2, dtype=torch.float64).sigmoid()
    inputs = [tensor.requires_grad_() for tensor in (*ends, t)]
    assert torch.autograd.gradcheck(lambda *args: interpolate(*args, impl=impl), inputs)
    assert torch.autograd.gradgradcheck(lambda *args: interpolate(*args, impl=impl), inputs)


@each_impl
@pytest.mark.parametrize("unused", [False, True])
def test_norm_penalty_differentiated_twice_raises(impl: str, unused: bool) -> None:
    x = draw(3, 4).requires_grad_()
    (slope,) = torch.autograd.grad(norm_penalty(x, impl=impl)[0], x, create_graph=True)
    with pytest.raises(RuntimeError, match="norm_penalty can be differentiated once"):
        torch.autograd.grad(slope.sum(), x, allow_unused=unused)


@each_impl
def test_l1_terms_differentiated_twice_raises(impl: str) -> None:
    a, b = draw(3, 4).requires_grad_(), draw(3, 4) * 2
    (slope,) = torch.autograd.grad(l1_terms([(a, b)], [1.0], impl=impl).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="l1_terms can be differentiated once"):
        slope.sum().backward()


@each_impl
def test_the_norms_carry_no_gradient(impl: str) -> None:
    penalty, norms = norm_penalty(draw(3, 4).requires_grad_(), impl=impl)
    assert penalty.requires_grad
    assert not norms.requires_grad


@each_impl
def test_norm_penalty_of_numbers_worked_out_by_hand(impl: str) -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.5]], device=DEVICE, requires_grad=True)
    penalty, norms = norm_penalty(x, impl=impl)
    penalty.backward()
    assert norms.tolist() == [5.0, 0.0, 0.5]
    assert penalty.item() == pytest.approx((16 + 1 + 0.25) / 3)
    # 2/3 (norm - 1) / norm times each sample; 0 at the zero norm
    expected = [[1.6, 8 / 15 * 4], [0.0, 0.0], [0.0, -1 / 3]]
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, rtol=1e-6)


@each_impl
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_target_of_zero_is_the_mean_square_of_the_norms_with_slope_zero_at_zero(
    impl: str, dtype: torch.dtype
) -> None:
    """R1 and R2 of a discriminator that does not depend on some image."""
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], device=DEVICE, dtype=dtype, requires_grad=True)
    penalty, norms = norm_penalty(x, 0.0, impl=impl)
    penalty.backward()
    assert norms.tolist() == [5.0, 0.0]
    assert penalty.item() == 12.5
    assert x.grad is not None
    assert x.grad.tolist() == [[3.0, 4.0], [0.0, 0.0]]  # 2 x / 2


@each_impl
def test_one_sided_counts_only_norms_above_the_target(impl: str) -> None:
    x = torch.tensor([[0.5, 0.0], [0.0, 3.0]], device=DEVICE)
    assert norm_penalty(x, one_sided=True, impl=impl)[0].item() == 2.0


@each_impl
def test_l1_terms_of_numbers_worked_out_by_hand(impl: str) -> None:
    a = torch.tensor([1.0, -2.0, 5.0, 7.0], device=DEVICE, requires_grad=True)
    b = torch.tensor([0.0, 2.0, 5.0, 8.0], device=DEVICE)
    c = torch.tensor([[2.0]], device=DEVICE)
    terms = l1_terms([(a, b), (c, c + 3)], [10.0, 0.5], impl=impl)
    terms.sum().backward()
    assert terms.tolist() == [15.0, 1.5]  # 10 * (1 + 4 + 0 + 1) / 4, and 0.5 * 3
    assert a.grad is not None
    assert a.grad.tolist() == [2.5, -2.5, 0.0, -2.5]


@each_impl
def test_empty_batches_give_zero_and_empty_outputs(impl: str) -> None:
    none = torch.empty(0, 3, 2, 2, device=DEVICE)
    assert interpolate(none, none, none[:, 0, 0, 0], impl=impl).shape == (0, 3, 2, 2)
    assert norm_penalty(none, impl=impl)[0].item() == 0
    assert l1_terms([(none, none)], [2.0], impl=impl).tolist() == [0.0]
    images = torch.zeros(2, 3, 2, 2, dtype=torch.uint8, device=DEVICE)
    index = torch.empty(0, dtype=torch.int64, device=DEVICE)
    assert gather(images, index, impl=impl).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("impl", [name for name in AVAILABLE if name != "triton"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gather_maps_all_256_bytes_to_the_nearest_floats(impl: str, dtype: torch.dtype) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    out = gather(images, torch.tensor([0]), dtype=dtype, impl=impl).flatten().numpy()
    exact = (np.arange(256, dtype=np.longdouble) - 127.5) / np.longdouble(127.5)
    assert (out == exact.astype(out.dtype)).all()
    assert (out[0], out[-1]) == (-1, 1)


@each_impl
def test_gather_writes_into_the_buffer_it_is_given(impl: str) -> None:
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8).to(DEVICE)
    index = torch.tensor([3, 1], device=DEVICE)
    out = torch.empty(2, 3, 5, 7, device=DEVICE)
    result = gather(images, index, out=out, impl=impl)
    assert result.data_ptr() == out.data_ptr()
    assert out.equal(gather(images, index, impl=impl))


@pytest.mark.skipif(DEVICE.type != "cpu", reason="a GPU cannot raise for an index; it marks the sample with NaN")
@each_impl
@pytest.mark.parametrize("index", [-1, 4, 2**40])
def test_gather_raises_for_an_index_outside_the_images(impl: str, index: int) -> None:
    with pytest.raises(IndexError, match="gather"):
        gather(torch.zeros(4, 1, 5, 7, dtype=torch.uint8), torch.tensor([0, index]), impl=impl)


@pytest.mark.skipif(DEVICE.type != "cpu", reason="a GPU cannot raise for an offset; it marks the sample with NaN")
@each_impl
@pytest.mark.parametrize("offset", [(0, 4), (3, 0), (-1, 0)])
def test_gather_raises_for_a_window_outside_the_images(impl: str, offset: tuple[int, int]) -> None:
    images, index = torch.zeros(4, 1, 5, 7, dtype=torch.uint8), torch.tensor([0])
    with pytest.raises(IndexError, match="gather"):
        gather(images, index, offset=torch.tensor([offset]), size=(3, 4), impl=impl)


@pytest.mark.skipif("cpu" not in AVAILABLE, reason="there is no extension")
def test_gather_refuses_more_channels_than_it_can_put_last() -> None:
    images = torch.zeros(1, 4097, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="4097 channels, but at most 4096"):
        gather(images, torch.tensor([0]), memory_format=torch.channels_last, impl="cpu")


def test_l1_terms_left_to_choose_gives_the_reference_s_gradients() -> None:
    a, b = draw(3, 4).requires_grad_(), draw(3, 4).abs()
    for impl in ("auto", "ref"):
        a.grad = None
        terms = l1_terms([(a, b), (b, a)], [10.0, 0.5], impl=impl)
        terms.sum().backward()
        assert a.grad is not None
        if impl == "auto":
            values, slopes = terms.detach(), a.grad
    torch.testing.assert_close(values, terms.detach())
    torch.testing.assert_close(slopes, a.grad)
    (slope,) = torch.autograd.grad(l1_terms([(a, b)], [1.0]).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="l1_terms can be differentiated once"):
        slope.sum().backward()


def test_a_tensor_without_memory_gets_the_reference() -> None:
    with FakeTensorMode():
        x = torch.empty(2, 3)
        assert interpolate(x, x, torch.empty(2)).shape == (2, 3)
        assert norm_penalty(x)[1].shape == (2,)
        with pytest.raises(RuntimeError, match="dispatch modes need the reference"):
            l1_terms([(x, x)], [1.0], impl="cpu")
    with pytest.raises(RuntimeError, match="FakeTensor may have no memory"):
        l1_terms([(x, x)], [1.0], impl="cpu")


@pytest.mark.skipif("triton" not in AVAILABLE, reason="Triton needs a GPU or its interpreter")
def test_the_triton_gather_marks_a_sample_out_of_range_with_nan() -> None:
    from gankit.kernels.gather_triton import gather_triton

    images = torch.zeros(4, 1, 5, 7, dtype=torch.uint8, device=DEVICE)
    index = torch.tensor([1, 9, -1, 2], device=DEVICE)
    offset = torch.tensor([[0, 0], [0, 0], [0, 0], [3, 0]], device=DEVICE)
    out = torch.empty(4, 1, 3, 4, device=DEVICE)
    gather_triton(images, index, None, offset, out, False)
    assert out[0].eq(-1).all()
    assert out[1:].isnan().all()


def test_mismatched_inputs_are_named() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"real is \[2, 3\].*fake is \[3, 2\]"):
        interpolate(x, x.view(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match="expected one weight a sample"):
        interpolate(x, x, torch.zeros(3))
    with pytest.raises(ValueError, match="expected a floating"):
        norm_penalty(x.to(torch.int32))
    with pytest.raises(ValueError, match="9 pairs"):
        l1_terms([(x, x)] * 9, [1.0] * 9)
    with pytest.raises(ValueError, match="one shape and one floating type"):
        l1_terms([(x, x.double())], [1.0])
    with pytest.raises(ValueError, match="contiguous uint8"):
        gather(torch.zeros(2, 3, 4, 5), torch.tensor([0]))


def test_a_named_implementation_runs_or_says_why_not() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="expected auto, triton, cpu or ref"):
        norm_penalty(x, impl="cuda")
    if "triton" not in AVAILABLE:
        with pytest.raises(RuntimeError, match=r"impl='triton' cannot run here: no GPU was found"):
            norm_penalty(x, impl="triton")


@each_impl
def test_a_channels_last_input_gives_a_channels_last_output(impl: str) -> None:
    real = draw(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    out = interpolate(real, real * 2, draw(2), impl=impl)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_dense_layouts_are_not_copied_and_others_are_made_dense() -> None:
    plain = draw(2, 3, 4, 5)
    last = plain.contiguous(memory_format=torch.channels_last)
    assert layout.dense(plain, plain)[0] is plain
    assert all(made.data_ptr() == last.data_ptr() for made in layout.dense(last, last))
    mixed = layout.dense(plain, last)
    assert all(made.is_contiguous(memory_format=torch.channels_last) for made in mixed)
    assert layout.dense(plain[:, :, ::2])[0].is_contiguous()


@each_impl
def test_inputs_are_left_as_they_were(impl: str) -> None:
    a, b = draw(3, 4).requires_grad_(), draw(3, 4).neg().requires_grad_()
    before = a.detach().clone(), b.detach().clone()
    total = interpolate(a, b, draw(3).sigmoid(), impl=impl).sum() + norm_penalty(a, impl=impl)[0]
    (total + l1_terms([(a, b)], [1.0], impl=impl).sum()).backward()
    assert a.detach().equal(before[0])
    assert b.detach().equal(before[1])


def test_torch_func_and_torch_compile_get_the_reference() -> None:
    x = torch.tensor([[3.0, 4.0]])
    slope = torch.func.grad(lambda each: norm_penalty(each)[0])
    expected = [[4.8, 6.4]]  # 2 (5 - 1) / 5 times the sample
    np.testing.assert_allclose(slope(x).numpy(), expected, rtol=1e-6)
    compiled = torch.compile(lambda real, fake, t: interpolate(real, fake, t), fullgraph=True, backend="eager")
    assert compiled(x, x * 3, torch.tensor([0.5])).tolist() == [[6.0, 8.0]]
    if "cpu" in AVAILABLE:
        with pytest.raises(RuntimeError, match="need the reference"):
            torch.func.grad(lambda each: norm_penalty(each, impl="cpu")[0])(x)


def test_the_environment_says_what_auto_prefers_and_falls_back_where_it_cannot() -> None:
    code = "import torch; from gankit.kernels.dispatch import choose; print(choose('auto', torch.ones(1)))"
    assert python(code, GANKIT_IMPL="ref") == "ref"
    natural = "cpu" if "cpu" in AVAILABLE else "ref"
    assert python(code, GANKIT_IMPL="cpu") == natural
    assert python(code, GANKIT_IMPL="triton", TRITON_INTERPRET="0") == natural
    with pytest.raises(RuntimeError, match="expected auto, triton, cpu or ref"):
        python(code, GANKIT_IMPL="fast")


@pytest.mark.skipif("cpu" not in AVAILABLE, reason="there is no extension")
def test_the_environment_forces_the_simd_level() -> None:
    code = "import gankit.kernels as k; print([each for each in k.implementations() if each.name == 'cpu'][0])"
    assert "SIMD baseline of" in python(code, GANKIT_SIMD="baseline")
    assert "GANKIT_SIMD=mmx: this processor runs baseline" in python(code, GANKIT_SIMD="mmx")


@pytest.mark.skipif("cpu" not in AVAILABLE, reason="there is no extension")
def test_the_extension_shares_pytorchs_thread_pool() -> None:
    from gankit.kernels import _cpu

    path = _cpu.openmp()
    assert path is not None
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    loaded = {line.split()[-1] for line in maps if "omp" in line.split()[-1]}
    assert {os.path.realpath(path)} == {os.path.realpath(each) for each in loaded if each.startswith("/")}


def test_the_command_line_does_not_import_the_kernels() -> None:
    assert python("import sys, gankit.cli; print('torch' in sys.modules)") == "False"


def python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def test_prefer_impl_chooses_the_implementation_and_ends_with_its_block() -> None:
    x = torch.zeros(2, 3)
    before = dispatch.choose("auto", x)
    with prefer_impl("ref"):
        assert dispatch.choose("auto", x) == "ref"
        with prefer_impl("auto"):
            assert dispatch.choose("auto", x) == "ref"
    assert dispatch.choose("auto", x) == before


def test_a_tracer_sees_the_references_ops_and_never_a_buffer_that_c_filled() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    real, fake, t = torch.randn(4, 9), torch.randn(4, 9), torch.rand(4)
    traced = make_fx(lambda *args: norm_penalty(interpolate(*args))[0])(real, fake, t)
    other = torch.randn(4, 9)
    torch.testing.assert_close(traced(other, fake, t), norm_penalty(interpolate(other, fake, t))[0])
