"""VAE and VQ-VAE against float64 NumPy written out by hand, on images of 8x8: one layer of four halves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from players import CLOSE, same_row
from written_out import Adam, Linear, Net, Tanh, sigmoid

import gankit
from gankit import ImageSet, RandomStream, Trainer
from gankit.config import configure
from gankit.registry import registry

N, PIXELS = 3, 2 * 8 * 8
SMALL = {"batch_size": N, "steps": 3, "precision": "fp64", "width": 1}
VQ = {"codes": 5, "groups": 2, "code_width": 4}


def tiny_trainer(variant, **flags):
    images = RandomStream(0, "test images").integers(256, 11, 2, 8, 8).to(torch.uint8)
    return Trainer(
        configure(variant, {**SMALL, **(VQ if variant == "vq-vae" else {"nz": 3}), **flags}), ImageSet(images)
    )


class Conv:
    """3x3, padded by 1. y[o] sums w[o, i, a, b] x[i, s r + a - 1, s c + b - 1]."""

    def __init__(self, stride, weight):
        self.stride, self.params = stride, [weight]

    def windows(self, x):
        """(a, b, the pixels that tap (a, b) of the kernel meets), as views."""
        rows, columns = x.shape[2] - 2, x.shape[3] - 2
        for a in range(3):
            for b in range(3):
                yield a, b, x[:, :, a : a + rows : self.stride, b : b + columns : self.stride]

    def forward(self, x):
        self.x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        return sum(np.einsum("oi,nirc->norc", self.params[0][:, :, a, b], w) for a, b, w in self.windows(self.x))

    def backward(self, dy):
        dx, dw = np.zeros_like(self.x), np.zeros_like(self.params[0])
        for (a, b, met), (_, _, back) in zip(self.windows(self.x), self.windows(dx), strict=True):
            dw[:, :, a, b] = np.einsum("norc,nirc->oi", dy, met)
            back += np.einsum("oi,norc->nirc", self.params[0][:, :, a, b], dy)
        self.grads = [dw]
        return dx[:, :, 1:-1, 1:-1]


class Transposed:
    """What undoes a ``Conv`` in shape: its backward pass, with the weight [in, out, 3, 3], plus a bias at the end."""

    def __init__(self, stride, weight, *bias):
        self.conv, self.params = Conv(stride, weight), [weight, *bias]

    def forward(self, y):
        self.y = y
        side = y.shape[2] * self.conv.stride
        self.conv.x = np.zeros((len(y), self.params[0].shape[1], side + 2, side + 2))
        return self.conv.backward(y) + sum(b[:, None, None] for b in self.params[1:])

    def backward(self, dx):
        dy = self.conv.forward(dx)
        self.conv.backward(self.y)  # the weight's derivative is the same product, of dx and y
        self.grads = [self.conv.grads[0], dx.sum((0, 2, 3))][: len(self.params)]
        return dy


class BatchNorm:
    """Over the batch and the pixels."""

    def __init__(self, weight, bias):
        self.params = [weight, bias]

    def forward(self, x):
        axes = (0, 2, 3)
        self.deviation = np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        self.normal = (x - x.mean(axes, keepdims=True)) / self.deviation
        return self.normal * self.params[0][:, None, None] + self.params[1][:, None, None]

    def backward(self, dy):
        axes = (0, 2, 3)
        self.grads = [(dy * self.normal).sum(axes), dy.sum(axes)]
        dn = dy * self.params[0][:, None, None]
        along = (dn * self.normal).mean(axes, keepdims=True)
        return (dn - dn.mean(axes, keepdims=True) - self.normal * along) / self.deviation


class LeakyReLU:
    params: tuple = ()
    grads: tuple = ()

    def forward(self, x):
        self.slope = np.where(x > 0, 1.0, 0.01)
        return x * self.slope

    def backward(self, dy):
        return dy * self.slope


def arrays(module):
    return [p.detach().numpy().copy() for p in module.parameters()]


def encoder(weights, *, last):
    layers = []
    for i, stride in enumerate((2, 1, 1, 1)):
        layers += [Conv(stride, weights[3 * i]), BatchNorm(*weights[3 * i + 1 : 3 * i + 3]), LeakyReLU()]
    return Net(*layers) if last else Net(*layers[:-1])


def decoder(weights):
    layers = []
    for i, stride in enumerate((1, 1, 1, 2)):
        layers += [Transposed(stride, weights[3 * i]), BatchNorm(*weights[3 * i + 1 : 3 * i + 3]), LeakyReLU()]
    return Net(*layers, Transposed(1, *weights[12:]))


def norms(*nets):
    return [
        value
        for net in nets
        for value in (np.sqrt(sum((g**2).sum() for g in net.grads)), np.sqrt((net.grads[0] ** 2).sum()))
    ]


def same_weights(module, params):
    for ours, theirs in zip(arrays(module), params, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize(
    ("likelihood", "variance"),
    [("gaussian", None), ("gaussian", 0.3), ("bernoulli", None)],
    ids=["gaussian", "of-given-variance", "bernoulli"],
)
def test_vae_terms_and_three_steps_equal_the_paper_written_out(likelihood, variance):
    trainer = tiny_trainer("vae", variance=variance, likelihood=likelihood)
    pixels = trainer.images.images.numpy() / 127.5 - 1
    sigma2 = variance or pixels.var(0).mean()
    it = trainer.model
    weights = arrays(it.encoder)
    trunk, mean, log_variance = encoder(weights[:12], last=True), Linear(*weights[12:14]), Linear(*weights[14:])
    project, image, tanh = Linear(*arrays(it.decoder.project)), decoder(arrays(it.decoder.image)), Tanh()
    heads = Net(*trunk.layers, mean, log_variance)  # for its params and grads alone
    tail = Net(project, *image.layers)
    optim = Adam(heads.params + tail.params, 1e-3, 0.9, 0.999)
    for step in range(3):
        x = trainer.batches.batch(step).images.numpy()
        epsilon = trainer.batches.noise("autoencoder", step, 0)["epsilon"].numpy()
        h = trunk.forward(x)
        flat = h.reshape(N, -1)
        mu, logs = mean.forward(flat), log_variance.forward(flat)
        z = mu + np.exp(logs / 2) * epsilon
        logits = image.forward(project.forward(z).reshape(N, 8, 4, 4))
        if likelihood == "bernoulli":
            p, target = sigmoid(logits), (x + 1) / 2
            made, slope = 2 * p - 1, (p - target) / N
            reconstruction = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() / N
        else:
            made = tanh.forward(logits)
            slope = tanh.backward((made - x) / sigma2 / N)
            reconstruction = ((x - made) ** 2).sum() / N / (2 * sigma2)
        kl = 0.5 * (mu**2 + np.exp(logs) - 1 - logs).sum() / N
        dz = project.backward(image.backward(slope).reshape(N, -1))
        d_mu = dz + mu / N
        d_logs = dz * epsilon * np.exp(logs / 2) / 2 + 0.5 * (np.exp(logs) - 1) / N
        trunk.backward((mean.backward(d_mu) + log_variance.backward(d_logs)).reshape(h.shape))
        written = [reconstruction, kl, reconstruction + kl, ((x - made) ** 2).mean(), *norms(heads, tail)]
        optim.step(heads.grads + tail.grads)
        same_row(trainer, step, written)
    same_weights(it.encoder, heads.params)
    same_weights(it.decoder, tail.params)


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_vq_vae_terms_and_three_steps_equal_the_paper_written_out(loss):
    trainer = tiny_trainer("vq-vae", loss=loss, beta=0.4)
    sigma2 = (trainer.images.images.numpy() / 127.5 - 1).var(0).mean()
    it = trainer.model
    down, up = encoder(arrays(it.encoder), last=False), decoder(arrays(it.decoder))
    (book,) = arrays(it.quantiser)
    optim = Adam([*down.params, book, *up.params], 2e-3, 0.9, 0.999)
    count = N * 16 * 2 * 4
    for step in range(3):
        x = trainer.batches.batch(step).images.numpy()
        h = down.forward(x)  # [N, 8, 4, 4]: two groups of four channels
        codes, index = np.empty_like(h), []
        for n, row, column, group in np.ndindex(N, 4, 4, 2):
            feature = h[n, 4 * group : 4 * group + 4, row, column]
            index.append(((feature - book) ** 2).sum(1).argmin())
            codes[n, 4 * group : 4 * group + 4, row, column] = book[index[-1]]
        logits = up.forward(codes)
        made, target = 2 * sigmoid(logits) - 1, (x + 1) / 2
        squared = ((made - x) ** 2).mean()
        if loss == "bce":
            p = sigmoid(logits)
            reconstruction = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
            slope = (p - target) / x.size
        else:
            reconstruction, slope = squared / sigma2, 2 * (made - x) / x.size / sigma2 * (1 - made**2) / 2
        distance = ((h - codes) ** 2).mean()
        down.backward(up.backward(slope) + 0.4 * 2 * (h - codes) / count)
        d_book = np.zeros_like(book)
        for (n, row, column, group), k in zip(np.ndindex(N, 4, 4, 2), index, strict=True):
            d_book[k] += 2 * (codes - h)[n, 4 * group : 4 * group + 4, row, column] / count
        share = np.bincount(index, minlength=5) / len(index)
        perplexity = np.exp(-sum(s * np.log(s) for s in share if s))
        terms = [reconstruction, distance, 0.4 * distance]
        length = np.sqrt((d_book**2).sum())
        written = [*terms, sum(terms), squared, perplexity, *norms(down), length, length, *norms(up)]
        optim.step([*down.grads, d_book, *up.grads])
        same_row(trainer, step, written)
    same_weights(it.encoder, down.params)
    same_weights(it.quantiser, [book])
    same_weights(it.decoder, up.params)


def grads(loss, module):
    return torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, retain_graph=True)


def terms_of(trainer):
    return trainer.model.terms("autoencoder", trainer.batches.batch(0), trainer.batches.noise("autoencoder", 0, 0), {})


def test_the_kl_is_summed_over_the_latent_and_averaged_over_the_batch():
    from gankit.plugins.variants.vae import kl

    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, np.log(4.0)], [0.0, 0.0]])
    by_hand = (0.5 + 0.5 * (4 - 1 - np.log(4))) / 2
    assert float(kl(mean, log_variance)) == pytest.approx(by_hand, rel=1e-6)
    doubled = kl(mean.repeat(1, 2), log_variance.repeat(1, 2))
    assert float(doubled) == pytest.approx(2 * by_hand, rel=1e-6)


def test_a_bernoullis_images_are_the_probabilities_that_its_loss_takes():
    trainer = tiny_trainer("vae", likelihood="bernoulli")
    model, z = trainer.model, RandomStream(0, "z").normal(4, 3).double()
    p = 1 / (1 + torch.exp(-model.decoder.logits(z)))
    torch.testing.assert_close(model.decode(z), 2 * p - 1, rtol=1e-12, atol=1e-12)
    with pytest.raises(gankit.UsageError, match="--variance is the Gaussian's"):
        tiny_trainer("vae", likelihood="bernoulli", variance=0.5)


def test_the_squared_error_is_summed_over_the_pixels_and_divided_by_twice_the_variance():
    one, other = terms_of(tiny_trainer("vae", variance=0.5)), terms_of(tiny_trainer("vae", variance=2.0))
    assert float(one.losses["reconstruction"].detach()) == pytest.approx(
        PIXELS * float(one.watch["squared error"].detach()), rel=1e-9
    )
    ratio = one.losses["reconstruction"] / other.losses["reconstruction"]
    assert float(ratio.detach()) == pytest.approx(4, rel=1e-9)
    assert torch.equal(one.losses["kl"], other.losses["kl"])


def test_the_codebook_term_does_not_reach_the_encoder_nor_the_other_terms_the_codebook():
    trainer = tiny_trainer("vq-vae")
    losses, it = terms_of(trainer).losses, trainer.model
    assert set(grads(losses["codebook"], it.encoder)) == {None}
    assert None not in grads(losses["codebook"], it.quantiser)
    for name in ("commitment", "reconstruction"):
        assert set(grads(losses[name], it.quantiser)) == {None}
        assert None not in grads(losses[name], it.encoder)
    assert set(grads(losses["codebook"] + losses["commitment"], it.decoder)) == {None}


def test_the_gradient_goes_straight_through_the_codes():
    """With the nearest codes in place of the features the decoder's slope at the codes is the encoder's at its end."""
    trainer = tiny_trainer("vq-vae")
    it, batch = trainer.model, trainer.batches.batch(0)
    seen = {}
    features = it.features

    def kept(images):
        seen["features"] = features(images)
        return seen["features"]

    it.features = kept
    loss = terms_of(trainer).losses["reconstruction"]
    (through,) = torch.autograd.grad(loss, seen["features"])
    codes = it.codebook[it.nearest(seen["features"])].detach().requires_grad_()
    target = (batch.images + 1) / 2
    plain = torch.nn.functional.binary_cross_entropy_with_logits(it.logits(codes), target)
    torch.testing.assert_close(through, torch.autograd.grad(plain, codes)[0], rtol=1e-9, atol=1e-15)


def test_a_dead_codebook_shows_in_the_perplexity():
    from gankit.plugins.variants.vq_vae import Quantiser

    quantiser = Quantiser(6, 2)
    assert float(quantiser.perplexity(torch.zeros(10, dtype=torch.int64)).detach()) == pytest.approx(1)
    assert float(quantiser.perplexity(torch.tensor([0, 1, 4] * 4)).detach()) == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize(("size", "base", "halvings"), [(8, 4, 1), (28, 7, 2), (32, 4, 3), (64, 4, 4), (128, 8, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_networks_halve_an_image_four_times_or_as_often_as_its_size_allows(size, base, halvings, channels):
    from gankit.plugins.variants.vae import VAE
    from gankit.plugins.variants.vq_vae import VQVAE

    spec, images = gankit.Spec(channels, size), torch.rand(2, channels, size, size) * 2 - 1
    vae = VAE().build(configure("vae", {"width": 2}).options, spec).eval()
    assert vae.encoder.trunk(images).shape == (2, 16, base, base)
    assert [layer.stride[0] for layer in vae.encoder.trunk[::3]] == [2] * halvings + [1] * (4 - halvings)
    assert vae.encode(images).shape == (2, 128)
    vq = VQVAE().build(configure("vq-vae", {"width": 2}).options, spec).eval()
    assert vq.encode(images).shape == (2, 128 * base**2)
    for model in (vae, vq):
        assert model.reconstruct(images).shape == images.shape
        torch.testing.assert_close(model.reconstruct(images), model.decode(model.encode(images)))


def test_the_networks_at_64_pixels_are_those_of_the_specification():
    spec = gankit.Spec(3, 64)
    build = {name: registry().get("variants", name)().build for name in ("vae", "vq-vae")}
    vae = build["vae"](configure("vae", {}).options, spec)
    vq = build["vq-vae"](configure("vq-vae", {}).options, spec)
    assert [layer.out_channels for layer in vae.encoder.trunk[::3]] == [32, 64, 128, 256]
    assert (vae.encoder.mean.in_features, vae.encoder.mean.out_features) == (4096, 128)
    assert [layer.out_channels for layer in vae.decoder.image[::3]] == [128, 64, 32, 32, 3]
    assert [layer.out_channels for layer in vq.encoder[::3]] == [32, 64, 128, 128]
    assert [layer.out_channels for layer in vq.decoder[::3]] == [64, 32, 16, 16, 3]
    assert (vq.decoder[0].in_channels, vq.codebook.shape) == (128, (128, 16))
    assert vq.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 2048)
    for name, lr, batch in (("vae", 1e-3, 100), ("vq-vae", 2e-3, 128)):
        config = configure(name, {})
        assert (config.options.lr, config.train.batch_size) == (lr, batch)
    assert configure("vq-vae", {}).options.beta == 0.25


def test_images_that_are_all_the_same_have_no_variance_to_divide_by():
    images = ImageSet(torch.full((4, 1, 8, 8), 9, dtype=torch.uint8))
    with pytest.raises(gankit.UsageError, match="--variance"):
        Trainer(configure("vae", SMALL), images)
    Trainer(configure("vae", {**SMALL, "variance": 1.0}), images).step()
    with pytest.raises(gankit.UsageError, match="--loss bce"):
        Trainer(configure("vq-vae", {**SMALL, "loss": "mse"}), images)
