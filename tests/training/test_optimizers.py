"""gankit's optimizers are those of torch.optim; if not, published learning rates would mean something else."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from gankit.core.checkpoint import flatten
from gankit.core.rng import RandomStream
from gankit.models.interface import OptimSpec
from gankit.training.optimizers import make

LR, DECAY = 3e-3, 1e-2


def weights(dtype=torch.float64):
    draws = RandomStream(0, "weights")
    some = [draws.normal(*shape).to(dtype) for shape in ((4, 3, 2, 2), (4,), (5, 4))]
    some[0] = some[0].contiguous(memory_format=torch.channels_last)
    return some


def grads(step, like):
    draws = RandomStream(1, "grads", step)
    return [torch.empty_like(p).copy_(draws.normal(*p.shape)) for p in like]


def theirs(kind, parameters):
    match kind:
        case "adam":
            return torch.optim.Adam(parameters, LR, (0.5, 0.9), weight_decay=DECAY)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, LR, weight_decay=DECAY)
        case _:
            return torch.optim.SGD(parameters, LR, weight_decay=DECAY)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_ten_steps_move_weights_as_torch_optim_does(kind):
    mine, other = weights(), [p.clone().requires_grad_() for p in weights()]
    optimizer, reference = make(OptimSpec(kind, LR, (0.5, 0.9), DECAY), mine), theirs(kind, other)
    for step in range(10):
        some = grads(step, mine)
        optimizer.step(some)
        for parameter, grad in zip(other, some, strict=True):
            parameter.grad = grad.clone()
        reference.step()
    for one, two, start in zip(mine, other, weights(), strict=True):
        assert not torch.equal(one, start)
        torch.testing.assert_close(one, two.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_a_restored_optimizer_goes_on_bit_for_bit_though_files_forget_memory_order(kind):
    spec = OptimSpec(kind, LR, (0.5, 0.9))
    mine = weights(torch.float32)
    optimizer = make(spec, mine)
    for step in range(3):
        optimizer.step(grads(step, mine))
    other = [torch.empty_like(p).copy_(p) for p in mine]
    restored = make(spec, other)
    restored.restore({name: t.contiguous() for name, t in copy.deepcopy(flatten(optimizer.tensors())).items()})
    for step in range(3, 6):
        optimizer.step(grads(step, mine))
        restored.step(grads(step, other))
    assert all(torch.equal(one, two) for one, two in zip(mine, other, strict=True))


def test_a_learning_rate_set_to_zero_holds_the_weights_still():
    mine = weights()
    optimizer = make(OptimSpec("adam", LR, (0.5, 0.9)), mine)
    optimizer.lr.fill_(0)
    optimizer.step(grads(0, mine))
    assert all(torch.equal(one, two) for one, two in zip(mine, weights(), strict=True))


def test_a_first_step_waits_for_no_compiler_to_be_imported():
    script = (
        "import sys\nfrom gankit.config import configure\nfrom gankit.training.trainer import Trainer\n"
        "flags = dict(data='shapes', size=16, channels=1, arch='mlp', ngf=2, ndf=2, batch_size=4, steps=1)\n"
        "trainer = Trainer(configure('wgan-gp', flags, None))\ntrainer.step()\n"
        "print(*{'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
