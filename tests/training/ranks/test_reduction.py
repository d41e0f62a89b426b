"""How gradients travel: what is summed, when it is sent, and what of that is hidden behind the backward pass."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from recorder import Rerun
from several import in_ranks
from tiny import TINY, fitted

from gankit.config import configure
from gankit.core import ranks
from gankit.core.errors import UsageError
from gankit.core.ranks import Ranks, joined
from gankit.testing.subject import Retraced
from gankit.training.engines.cuda_graph import CudaGraphEngine
from gankit.training.engines.inductor import InductorEngine
from gankit.training.reduction import Reduction
from gankit.training.trainer import Trainer


class Link(Ranks):
    """Two ranks that hold the same, and what went from one to the other: messages of so many numbers."""

    def __init__(self):
        super().__init__(0, 2)
        object.__setattr__(self, "messages", [])

    def sum_later(self, tensor):
        self.messages.append(tensor.numel())
        return lambda: tensor.mul_(2)


def layers(count, width=64):
    torch.manual_seed(0)
    return torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(count)]).double()


def reduction(net, link, **options):
    return Reduction(list(net.parameters()), [], link, 0.5, **options)


def test_gradients_are_sent_in_parts_while_the_backward_pass_computes_the_others():
    net, link = layers(8), Link()
    own = reduction(net, link, bucket=2 * 64 * 65 * 8)
    own.start()
    seen = []
    net[0].weight.register_hook(lambda grad: seen.append(len(link.messages)))
    loss = net(torch.ones(3, 64).double()).square().sum()
    grads = torch.autograd.grad(loss * 0.5, list(net.parameters()))
    assert seen == [3], "three of four parts are on their way when the first layer's gradient comes"
    sums = own.finish(grads)
    assert link.messages == [2 * 64 * 65] * 4
    whole = torch.autograd.grad(net(torch.ones(3, 64).double()).square().sum(), list(net.parameters()))
    for total, grad, parameter in zip(sums, whole, net.parameters(), strict=True):
        torch.testing.assert_close(total, grad)
        assert total.stride() == parameter.stride()


def test_a_parameter_used_twice_is_sent_once_it_is_whole():
    net, link = layers(3), Link()
    own = reduction(net, link, bucket=1)
    own.start()
    loss = net(net(torch.ones(3, 64).double())).square().sum()
    sums = own.finish(torch.autograd.grad(loss * 0.5, list(net.parameters()), retain_graph=True))
    for total, grad in zip(sums, torch.autograd.grad(loss, list(net.parameters())), strict=True):
        torch.testing.assert_close(total, grad)


def test_statistics_are_averaged_in_the_same_message_by_the_shares_of_the_batch():
    net, link, statistics = layers(1), Link(), torch.tensor([2.0, 4.0]).double()
    own = Reduction(list(net.parameters()), [statistics], link, 0.5)
    own.finish([torch.ones_like(p) for p in net.parameters()])
    assert statistics.tolist() == [2, 4], "two ranks that hold the same hold their mean"
    assert link.messages == [64 * 65 + 2]


def trained(engine, **more):
    """The weights after ten steps by ``engine``."""
    InductorEngine.make = Retraced.make
    flags = fitted("wgan-gp", {**TINY, "precision": "fp64", "steps": 10, "data": "shapes", "threads": 1, **more})
    flags.pop("quiet")
    with joined(30):
        trainer = Trainer(configure("wgan-gp", {**flags, "engine": "eager" if engine == "graph" else engine}))
        if engine == "graph":
            trainer.engine = CudaGraphEngine(
                trainer.model, trainer.engine.arithmetic, trainer.batches, recorder=Rerun()
            )
        while trainer.done < 10:
            trainer.step()
        return {name: tensor.clone() for name, tensor in trainer.tensors().items()}, trainer.take_rows()


PLAIN = {"generator_norm": "none"}


def trained_plainly(engine):
    return trained(engine, **PLAIN)


@pytest.mark.parametrize("engine", ["planned", "compiled", "graph"])
def test_every_engine_sums_over_the_ranks(engine):
    ((tensors, rows),) = in_ranks(1, trained_plainly, "eager")
    for other, its_rows in in_ranks(2, trained_plainly, engine):
        for name, tensor in tensors.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-9, atol=1e-10)
        for row, its in zip(rows, its_rows, strict=True):
            assert its == pytest.approx(row, rel=1e-8)


def threads_left():
    """The threads after the ranks have parted, where a sign of life takes its time."""
    told = ranks._beat
    ranks._beat = lambda rank: time.sleep(0.3) or told(rank)
    with joined(30):
        pass
    return [thread.name for thread in threading.enumerate()]


def test_no_thread_is_left_that_the_end_of_the_process_would_find_in_the_middle_of_something():
    for names in in_ranks(2, threads_left):
        assert names == ["MainThread"]


def trained_in_step(engine):
    return trained(engine, sync_batchnorm=True, generator_norm="batch")


def test_an_engine_that_cannot_hold_an_exchange_within_an_update_says_so():
    with pytest.raises(UsageError, match="--engine planned: the ranks of this run exchange images or statistics"):
        in_ranks(2, trained_in_step, "planned")
