"""A batch of a uint8 image set: picked, cropped, flipped, scaled to [-1, 1] and cast in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.kernels.cpu import TYPES, extension, team
from gankit.kernels.dispatch import FLOATS, choose, wide


def gather(
    images: Tensor,
    index: Tensor,
    flip: Tensor | None = None,
    offset: Tensor | None = None,
    size: tuple[int, int] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
    impl: str = "auto",
) -> Tensor:
    """images: uint8 [N,C,H,W], contiguous; index: int64 [B]; flip: bool [B]; offset: int64 [B,2] of (top, left) in
    pixels; size: (h, w). Returns [B,C,h,w] = x / 127.5 - 1 of type `dtype`, written to `out` if given.

    Without an offset the window is the top left corner; without a size the whole image. A flip mirrors the
    window left to right. No gradient. On a CPU an index or window outside the images raises IndexError.
    """
    height, width = size or (images.shape[-2], images.shape[-1])
    _check(images, index, flip, offset, (height, width), dtype, memory_format)
    shape = (len(index), images.shape[1], height, width)
    if out is None:
        out = torch.empty(shape, dtype=dtype, device=images.device, memory_format=memory_format)
    elif out.shape != shape or out.dtype != dtype or out.device != images.device:
        raise ValueError(
            f"gather: out is {list(out.shape)} {out.dtype} on {out.device}, expected {list(shape)} {dtype}"
        )
    elif not out.is_contiguous(memory_format=memory_format):
        raise ValueError(f"gather: out is not laid out as {memory_format}")
    chosen = choose(impl, images, index)
    if images.is_cpu and chosen != "cpu":  # the C code looks for itself
        _check_range(images, index, offset, (height, width))
    if chosen == "ref":
        return out.copy_(gather_ref(images, index, flip, offset, (height, width), dtype))
    _gather_fwd(images, index, flip, offset, out, memory_format == torch.channels_last, chosen)
    return out


def _gather_fwd(
    images: Tensor,
    index: Tensor,
    flip: Tensor | None,
    offset: Tensor | None,
    out: Tensor,
    channels_last: bool,
    impl: str,
) -> None:
    index = index.contiguous()
    flip = None if flip is None else flip.contiguous()
    offset = None if offset is None else offset.contiguous()
    if impl == "cpu":
        gather_cpu(images, index, flip, offset, out, channels_last)
        return
    from gankit.kernels.gather_triton import gather_triton

    gather_triton(images, index, flip, offset, out, channels_last)


def _check(
    images: Tensor,
    index: Tensor,
    flip: Tensor | None,
    offset: Tensor | None,
    size: tuple[int, int],
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> None:
    if images.dim() != 4 or images.dtype != torch.uint8 or not images.is_contiguous():
        raise ValueError(
            f"gather: images are {list(images.shape)} {images.dtype}; expected a contiguous uint8 [N,C,H,W]"
        )
    if index.dim() != 1 or index.dtype != torch.int64:
        raise ValueError(f"gather: index is {list(index.shape)} {index.dtype}; expected int64 [B]")
    if flip is not None and (flip.shape != index.shape or flip.dtype != torch.bool):
        raise ValueError(f"gather: flip is {list(flip.shape)} {flip.dtype}; expected bool [{len(index)}]")
    if offset is not None and (offset.shape != (len(index), 2) or offset.dtype != torch.int64):
        raise ValueError(f"gather: offset is {list(offset.shape)} {offset.dtype}; expected int64 [{len(index)}, 2]")
    if not (0 < size[0] <= images.shape[2] and 0 < size[1] <= images.shape[3]):
        raise ValueError(f"gather: a window of {size} does not fit images of {list(images.shape[2:])}")
    if dtype not in FLOATS:
        raise ValueError(f"gather: dtype={dtype}; expected a floating type")
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(f"gather: memory_format={memory_format}; expected contiguous_format or channels_last")
    for name, tensor in (("index", index), ("flip", flip), ("offset", offset)):
        if tensor is not None and tensor.device != images.device:
            raise ValueError(f"gather: {name} is on {tensor.device}, the images are on {images.device}")


def _check_range(images: Tensor, index: Tensor, offset: Tensor | None, size: tuple[int, int]) -> None:
    if len(index) == 0:
        return
    if int(index.min()) < 0 or int(index.max()) >= len(images):
        raise IndexError(f"gather: an index is outside the {len(images)} images")
    if offset is None:
        return
    room = torch.tensor([images.shape[2] - size[0], images.shape[3] - size[1]])
    if bool(((offset < 0) | (offset > room)).any()):
        raise IndexError(f"gather: a window of {size} reaches outside images of {list(images.shape[2:])}")


def gather_cpu(
    images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, out: Tensor, channels_last: bool
) -> None:
    """images: uint8 [N,C,H,W]; index: [B]; flip: [B]; offset: [B,2]; all contiguous. Fills out, [B,C,h,w]."""
    extension().gather(
        images.data_ptr(),
        index.data_ptr(),
        0 if flip is None else flip.data_ptr(),
        0 if offset is None else offset.data_ptr(),
        out.data_ptr(),
        *images.shape,
        out.shape[0],
        out.shape[2],
        out.shape[3],
        channels_last and out.shape[1] > 1,
        TYPES[out.dtype],
        team(),
    )


def gather_ref(
    images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, size: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """images: uint8 [N,C,H,W]; index: [B]; flip: bool [B]; offset: [B,2] of (top, left). Returns [B,C,h,w]."""
    taken = _window(images, index, flip, offset, size).to(wide(dtype))
    # Algebraically x / 127.5 - 1; in this order the difference is exact, so the result is rounded once.
    return ((taken - 127.5) / 127.5).to(dtype)


def _window(images: Tensor, index: Tensor, flip: Tensor | None, offset: Tensor | None, size: tuple[int, int]) -> Tensor:
    height, width = size
    if flip is None and offset is None:
        return images[index, :, :height, :width]
    rows = torch.arange(height, device=images.device).expand(len(index), height)
    columns = torch.arange(width, device=images.device).expand(len(index), width)
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    if offset is not None:
        rows, columns = rows + offset[:, :1], columns + offset[:, 1:]
    channels = torch.arange(images.shape[1], device=images.device)
    return images[
        index[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None, :]
    ]
