"""Ranks that have a part of each batch train the model that one process trains on whole batches."""

from __future__ import annotations

import pytest
import torch
from several import in_ranks
from tiny import TINY, fitted, options_of

from gankit.config import configure
from gankit.core.errors import UsageError
from gankit.core.ranks import joined
from gankit.models.networks import uses_batch_statistics
from gankit.registry import registry
from gankit.training.trainer import Trainer

VARIANTS = registry().names("variants")
CONVOLUTIONAL = ("dcgan", "wgan-gp", "acgan", "csngan", "r3gan", "bigan")
STEPS = 5


def flags_of(variant, **more):
    """Tiny float64 options of ``variant``."""
    flags = fitted(variant, {**TINY, "precision": "fp64", "steps": STEPS, **more})
    flags.pop("quiet")
    if variant == "cyclegan":
        flags |= {"pool": 4}
    if "warmup" in options_of(variant):
        flags |= {"warmup": 2, "n_critic": 2}
    return {"data": "stripes" if variant == "cyclegan" else "shapes", "threads": 1, **flags}


def trained(variant, flags):
    """(gradients of each update, tensors after five steps, recorded rows) of one of the ranks."""
    grads = {}
    with joined(30):
        trainer = Trainer(configure(variant, flags))
        for state in trainer.phases:
            step = state.optimizer.step

            def taking(some, step=step, name=state.phase.name):
                grads[f"{name} {len(grads)}"] = [grad.clone() for grad in some]
                step(some)

            state.optimizer.step = taking
        while trainer.done < STEPS:
            trainer.step()
        rows = trainer.take_rows()
        return grads, {name: tensor.clone() for name, tensor in trainer.tensors().items()}, rows


def has_batch_norm(variant, flags):
    return uses_batch_statistics(Trainer(configure(variant, flags)).model)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def agree(variant, flags, ranks):
    """Assert that so many ranks and one give the same, with batch norm over all where there is one, and that all ranks
    hold the same bits.
    """
    flags = flags | ({"sync_batchnorm": True} if has_batch_norm(variant, flags) else {})
    ((grads, tensors, rows),) = in_ranks(1, trained, variant, flags)
    several = in_ranks(ranks, trained, variant, flags)
    for other_grads, other_tensors, other_rows in several:
        assert grads.keys() == other_grads.keys()
        for name, some in grads.items():
            close(other_grads[name], some)
        assert tensors.keys() == other_tensors.keys()
        for name, tensor in tensors.items():
            close(other_tensors[name], tensor)
            assert torch.equal(other_tensors[name], several[0][1][name]), f"the ranks' {name} came apart"
        for row, other in zip(rows, other_rows, strict=True):
            for name, value in row.items():
                if name not in ("vq-vae/perplexity", "autoencoder/perplexity"):
                    assert other[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_ranks_give_the_gradients_and_weights_of_one_process_with_the_joined_batch(variant):
    agree(variant, flags_of(variant), 2)


@pytest.mark.parametrize("variant", CONVOLUTIONAL)
def test_two_ranks_agree_with_one_where_the_networks_are_convolutional(variant):
    agree(variant, flags_of(variant, arch="dcgan"), 2)


@pytest.mark.parametrize("variant", ["wgan-gp", "cyclegan", "r3gan"])
def test_three_ranks_share_a_batch_that_they_do_not_divide(variant):
    agree(variant, flags_of(variant), 3)


def test_batch_norm_below_a_gradient_penalty_is_the_whole_batchs():
    flags = flags_of("wgan-gp", arch="dcgan", discriminator_norm="batch")
    agree("wgan-gp", flags, 3)


def test_batch_norm_of_each_ranks_part_gives_other_figures_and_the_same_weights_on_all():
    flags = flags_of("dcgan", arch="dcgan")
    ((_, whole, _),) = in_ranks(1, trained, "dcgan", flags)
    first, second = in_ranks(2, trained, "dcgan", flags)
    assert all(torch.equal(first[1][name], second[1][name]) for name in whole)
    assert any(not torch.allclose(first[1][name], whole[name], rtol=1e-6) for name in whole)


@pytest.mark.parametrize("option", [{"instance_noise": 0.1}, {"augment": "diffaug"}, {"flip": True, "dropout": 0.3}])
def test_everything_random_belongs_to_the_image_whichever_rank_has_it(option):
    option = {name: value for name, value in option.items() if name in (*options_of("dcgan"), "flip")}
    agree("lsgan", flags_of("lsgan", discriminator_norm="none", generator_norm="none", **option), 2)


def test_a_batch_of_fewer_images_than_ranks_is_refused():
    with pytest.raises(UsageError, match="--batch-size 2: is the size of all ranks' batches together, and there are 3"):
        in_ranks(3, trained, "wgan-gp", flags_of("wgan-gp", batch_size=2))


def test_batch_norm_of_one_image_is_refused_on_each_rank():
    with pytest.raises(UsageError, match=r"2 images or more on each of 2 ranks, or --sync-batchnorm"):
        in_ranks(2, trained, "dcgan", flags_of("dcgan", arch="dcgan", batch_size=3))
