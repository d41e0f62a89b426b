"""Names of PyTorch that are not public, all of them here, so that a new version of it is looked at in one place.

Checked with PyTorch 2.13.0. pyproject.toml keeps out versions after 2.13 until these names were checked with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._C import _are_functorch_transforms_active as functorch_transforms_active
from torch._C import _len_torch_dispatch_stack as dispatch_modes
from torch._C._distributed_c10d import PrefixStore, TCPStore
from torch._subclasses import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.utils.stateless import _reparametrize_module as reparametrize
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "BatchNorm", "FakeTensorMode", "PrefixStore", "TCPStore", "TorchDispatchMode", "dispatch_modes", "foreach_add",
    "foreach_add_", "foreach_addcdiv_", "foreach_addcmul_", "foreach_div_", "foreach_mul_", "foreach_norm",
    "foreach_sqrt", "foreach_sub", "functorch_transforms_active", "fused_adam_", "fused_sgd_", "inductor", "is_proxied",
    "local_scalar", "pytree", "reparametrize", "will_execute",
]  # fmt: skip

foreach_add, foreach_add_ = torch._foreach_add, torch._foreach_add_
foreach_addcdiv_, foreach_addcmul_ = torch._foreach_addcdiv_, torch._foreach_addcmul_
foreach_div_, foreach_mul_ = torch._foreach_div_, torch._foreach_mul_
foreach_norm, foreach_sqrt, foreach_sub = torch._foreach_norm, torch._foreach_sqrt, torch._foreach_sub
fused_adam_, fused_sgd_ = torch._fused_adam_, torch._fused_sgd_
local_scalar: Any = torch.ops.aten._local_scalar_dense.default
"""What reads a value back from the device."""


def is_proxied() -> bool:
    """Whether `make_fx` traces at the moment."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


def will_execute(node: Any) -> bool:
    """Whether the backward pass that runs now needs autograd's ``node``. RuntimeError for an input of it."""
    found: bool = torch._C._will_engine_execute_node(node)
    return found


def inductor(graph: fx.GraphModule, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """The code that PyTorch's compiler makes of ``graph`` for inputs like ``examples``; it takes seconds to import."""
    from torch._inductor import compile as compiled

    code: Any = compiled(graph, list(examples))
    found: Callable[..., Sequence[Tensor]] = code
    return found
