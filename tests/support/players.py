"""The two players of a game in float64 NumPy, with labels of any kind, and the tiny trainers they are held against."""

from __future__ import annotations

import numpy as np
import torch
from written_out import LeakyReLU, Linear, Net, Tanh, mlp, sigmoid

from gankit import ImageSet, RandomStream, Trainer
from gankit.config import configure

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
N, PIXELS, CLASSES = 5, 16, 3
# Not seed 0, whose first layer has a unit of one sign over a whole batch: see test_formulas_wgan.py.
TINY = {
    "arch": "mlp", "ngf": 1, "ndf": 1, "nz": 3, "batch_size": N, "steps": 3, "precision": "fp64", "init": "default",
    "seed": 1,
}  # fmt: skip
LABELLED = ("cgan", "cdcgan", "cwgan", "cwgan-gp", "acgan")
PARAMETERS = {"onehot": 0, "embedding": 1, "text": 2, "latent": 4}


def tiny_trainer(variant, **flags):
    images = RandomStream(0, "test images").integers(256, 17, 1, 4, 4).to(torch.uint8)
    labels = RandomStream(0, "test labels").integers(CLASSES, 17)
    return Trainer(
        configure(variant, {"preset": "paper", **TINY, **flags}),
        ImageSet(images, labels, ("Coat", "T-shirt/top", "Bag")),
    )


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


def flat(batch):
    return batch.images.numpy().reshape(len(batch.images), -1)


def added(a, b):
    return [x + y for x, y in zip(a, b, strict=True)]


def norms(grads):
    return [np.sqrt(sum((g**2).sum() for g in grads)), np.sqrt((grads[0] ** 2).sum())]


class ReLU(LeakyReLU):
    def forward(self, x):
        self.slope = np.where(x > 0, 1.0, 0.0)
        return x * self.slope


class Code:
    """What a label, one-hot [n, classes], is to a network, of any kind; or what a BiGAN's z is to its D."""

    def __init__(self, kind, module, params, scale=1.0):
        self.net, self.scale = Net(), scale
        if kind == "embedding":
            (table,) = params
            self.net = Net(Linear(np.array(table.T)))
        if kind == "text":
            self.net = Net(Linear(module.table.numpy().T), Linear(np.array(params[0]), np.array(params[1])), ReLU())
        if kind == "latent":
            one, two = (Linear(*map(np.array, params[i : i + 2])) for i in (0, 2))
            self.net = Net(one, LeakyReLU(), two, LeakyReLU())
        self.params = self.net.params[1:] if kind == "text" else self.net.params
        self.kind = kind

    def forward(self, y):
        return self.net.forward(y) * self.scale

    def backward(self, slope):
        self.at_input = self.net.backward(slope * self.scale)
        self.grads = self.net.grads[1:] if self.kind == "text" else self.net.grads


class Player:
    """A network with the label joined to its input, to planes beside its input, or to the features of its trunk."""

    def __init__(self, module, kind, where, norm, last=None):
        params = arrays(module)
        count = PARAMETERS.get(kind, 0)
        own, labels = params[: len(params) - count], params[len(params) - count :]
        self.where = where
        short = kind == "embedding" and where == "input"  # beside z an embedding is as long as a one-hot vector
        self.code = Code(kind, getattr(module, "label", None), labels, labels[0].shape[1] ** -0.5 if short else 1.0)
        late = where == "features"
        norm = [*norm, False] if late else norm
        whole = mlp(own, sizes=len(norm), norm=norm, last=last)
        cut = len(whole.layers) - 3 if late else 0  # the joint layer, its LeakyReLU, the head
        self.trunk, self.net = Net(*whole.layers[:cut]), Net(*whole.layers[cut:])

    @property
    def params(self):
        return self.trunk.params + self.net.params + self.code.params

    def forward(self, x, y):
        h = self.trunk.forward(x)
        self.width = h.shape[1]
        if self.where == "nowhere":
            return self.net.forward(h)
        code = self.code.forward(y)
        beside = np.repeat(code, PIXELS, 1) if self.where == "planes" else code
        return self.net.forward(np.concatenate([h, beside], 1))

    def backward(self, slope):
        slope = self.net.backward(slope)
        if self.where in ("input", "features"):
            self.code.backward(slope[:, self.width :])
        inner = self.trunk.backward(slope[:, : self.width])
        self.grads = self.trunk.grads + self.net.grads + list(getattr(self.code, "grads", []))
        return inner


def players(trainer, kind, normed, told=True):
    where = {"none": "nowhere", "onehot": "planes"}.get(kind, "features") if told else "nowhere"
    generator = Player(
        trainer.model.generator, kind, "nowhere" if kind == "none" else "input", [False, True, True, True], Tanh()
    )
    judge = Player(trainer.model.discriminator, kind if told else "none", where, [False, normed])
    return generator, judge


def same_row(trainer, step, written):
    """The trainer takes step number ``step``, and records what was written out."""
    trainer.step()
    (row,) = trainer.take_rows()
    assert row.pop("step") == step + 1
    assert len(row) == len(written)
    np.testing.assert_allclose(list(row.values()), written, **CLOSE)


def same_weights(pairs):
    for module, params in pairs:
        for ours, theirs in zip(arrays(module), params, strict=True):
            # An embedding's table is written down the other way round.
            np.testing.assert_allclose(ours, theirs if ours.shape == theirs.shape else theirs.T, **CLOSE)


def one_hot(labels):
    return np.eye(CLASSES)[labels.numpy()]


def cross_entropy(s):
    """D's term on real (target 0.9) and on fakes, and G's, with their slopes, at scores s."""
    p = sigmoid(s)
    return {
        "real": (-(0.9 * np.log(p) + 0.1 * np.log(1 - p)), p - 0.9),
        "fake": (-np.log(1 - p), p),
        "G": (-np.log(p), p - 1),
        "watched": p,
    }
