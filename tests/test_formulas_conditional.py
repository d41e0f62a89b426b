"""The variants of two players, with and without labels, against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from written_out import Adam, LeakyReLU, Linear, Net, RMSprop, Tanh, gradient_penalty, mlp, sigmoid

import gankit
from gankit import Draws, ImageSet, Spec, Trainer
from gankit.config import configure
from gankit.registry import registry

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
N, PIXELS, CLASSES = 5, 16, 3
# Not seed 0, whose first layer has a unit of one sign over a whole batch: see test_formulas_wgan.py.
TINY = {
    "arch": "mlp", "ngf": 1, "ndf": 1, "nz": 3, "batch_size": N, "steps": 3, "precision": "fp64", "init": "default",
    "seed": 1,
}  # fmt: skip
LABELLED = ("cgan", "cdcgan", "cwgan", "cwgan-gp", "acgan")
KINDS = ("onehot", "embedding", "text")
PARAMETERS = {"onehot": 0, "embedding": 1, "text": 2, "latent": 4}


def tiny_trainer(variant, **flags):
    images = Draws(0, "test images").integers(256, 17, 1, 4, 4).to(torch.uint8)
    labels = Draws(0, "test labels").integers(CLASSES, 17)
    return Trainer(configure(variant, {**TINY, **flags}), ImageSet(images, labels, ("Coat", "T-shirt/top", "Bag")))


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


def saturating(s):
    p = sigmoid(s)
    return {**cross_entropy(s), "G": (np.log(1 - p), -p)}


def squares(s):
    return {
        "real": (0.5 * (s - 0.9) ** 2, s - 0.9),
        "fake": (0.5 * s**2, s),
        "G": (0.5 * (s - 1) ** 2, s - 1),
        "watched": s,
    }


GAMES = {
    "gan": ("gan", "none", False, cross_entropy, {}),
    "gan saturating": ("gan", "none", False, saturating, {"loss": "saturating"}),
    "lsgan": ("lsgan", "none", True, squares, {}),
    "cgan onehot": ("cgan", "onehot", False, cross_entropy, {}),
    "cgan embedding": ("cgan", "embedding", False, cross_entropy, {"embedding_width": 4}),
    "cgan text": ("cgan", "text", False, cross_entropy, {"text_width": 7}),
    "cgan off": ("cgan", "embedding", False, cross_entropy, {"embedding_width": 4, "discriminator_label": "off"}),
    "cdcgan onehot": ("cdcgan", "onehot", True, cross_entropy, {}),
    "cdcgan text": ("cdcgan", "text", True, saturating, {"text_width": 7, "loss": "saturating"}),
}


@pytest.mark.parametrize("game", GAMES)
def test_terms_and_three_steps_of_two_players_equal_the_paper_written_out(game):
    variant, kind, normed, losses, flags = GAMES[game]
    labelled = {} if kind == "none" else {"conditioning": kind}
    trainer = tiny_trainer(variant, label_smoothing=0.1, **labelled, **flags)
    generator, judge = players(trainer, kind, normed, told=flags.get("discriminator_label") != "off")
    optim_d, optim_g = (Adam(player.params, 2e-4, 0.5, 0.999) for player in (judge, generator))
    for step in range(3):
        batch, z = trainer.batch(step, True), trainer.noise("discriminator", step, 0)["z"].numpy()
        y = one_hot(batch.labels)
        fake = generator.forward(z, y)
        grads, row, watched = None, [], []
        for x, name in ((flat(batch), "real"), (fake, "fake")):
            found = losses(judge.forward(x, y))
            judge.backward(found[name][1] / N)
            grads = judge.grads if grads is None else added(grads, judge.grads)
            row.append(found[name][0].mean())
            watched.append(found["watched"].mean())
        written = [*row, sum(row), *watched, *norms(grads)]
        optim_d.step(grads)
        found = losses(judge.forward(fake, y))  # the same fakes, judged by the discriminator just moved
        generator.backward(judge.backward(found["G"][1] / N))
        written += [found["G"][0].mean()] * 2 + [found["watched"].mean(), *norms(generator.grads)]
        optim_g.step(generator.grads)
        trainer.step()
        (recorded,) = trainer.take_rows()
        assert recorded.pop("step") == step + 1
        np.testing.assert_allclose(list(recorded.values()), written, **CLOSE)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


@pytest.mark.parametrize("variant", ["cwgan", "cwgan-gp"])
def test_conditional_wasserstein_terms_and_three_steps_equal_the_papers_written_out(variant):
    clipped = variant == "cwgan"
    flags = {"warmup": 0, "clip": 0.05} if clipped else {}
    trainer = tiny_trainer(variant, n_critic=2, lr_d=1e-3, lr_g=1e-4, discriminator_norm="none", **flags)
    generator, critic = players(trainer, "onehot", False)
    make = RMSprop if clipped else lambda params, lr: Adam(params, lr, 0.5, 0.9)
    optim_d, optim_g = make(critic.params, 1e-3), make(generator.params, 1e-4)
    for step in range(3):
        rows = []
        for repeat in range(2):
            batch, noise = trainer.batch(2 * step + repeat, True), trainer.noise("critic", step, repeat)
            assert "labels" not in noise
            real, y = flat(batch), one_hot(batch.labels)
            fake = generator.forward(noise["z"].numpy(), y)
            on_real = critic.forward(real, y)
            critic.backward(np.full_like(on_real, -1 / N))
            grads = critic.grads
            on_fake = critic.forward(fake, y)
            critic.backward(np.full_like(on_fake, 1 / N))
            grads = added(grads, critic.grads)
            terms, watched = [-on_real.mean(), on_fake.mean()], [on_real.mean(), on_fake.mean()]
            if not clipped:
                t = noise["t"].numpy()[:, None]
                between = np.concatenate([fake + t * (real - fake), np.repeat(y, PIXELS, 1)], 1)
                penalty, slopes, lengths = gradient_penalty(critic.net, between, pixels=PIXELS)
                grads = added(grads, [10 * g for g in slopes])
                terms, watched = [*terms, 10 * penalty], [*watched, lengths.mean()]
            rows.append([*terms, sum(terms), *watched, *norms(grads)])
            optim_d.step(grads)
            for weight in critic.params if clipped else []:
                np.clip(weight, -0.05, 0.05, out=weight)
        noise = trainer.noise("generator", step, 0)
        y = one_hot(noise["labels"])
        on_fake = critic.forward(generator.forward(noise["z"].numpy(), y), y)
        generator.backward(critic.backward(np.full_like(on_fake, -1 / N)))
        optim_g.step(generator.grads)
        trainer.step()
        (recorded,) = trainer.take_rows()
        assert recorded.pop("step") == step + 1
        written = [*np.mean(rows, 0), -on_fake.mean(), -on_fake.mean(), on_fake.mean(), *norms(generator.grads)]
        np.testing.assert_allclose(list(recorded.values()), written, **CLOSE)
    same_weights([(trainer.model.discriminator, critic.params), (trainer.model.generator, generator.params)])


def named(logits, labels, weight):
    """(the weighted cross-entropy, its slope, the share of right ones) of logits [n, k]; the only softmax."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.arange(N)
    slope = p.copy()
    slope[rows, labels] -= 1
    return weight * -np.log(p[rows, labels]).mean(), weight * slope / N, (logits.argmax(1) == labels).mean()


@pytest.mark.parametrize("fake_class", [False, True], ids=["3-classes", "4-classes"])
def test_acgan_terms_and_three_steps_equal_the_paper_written_out(fake_class):
    trainer = tiny_trainer(
        "acgan", embedding_width=4, label_smoothing=0.1, class_weight_d=0.5, class_weight_g=2.0, fake_class=fake_class
    )
    generator = Player(trainer.model.generator, "embedding", "input", [False, True, True, True], Tanh())
    judge = Player(trainer.model.discriminator, "none", "nowhere", [False, True])
    assert judge.params[-1].shape == (1 + CLASSES + fake_class,)
    optim_d, optim_g = (Adam(player.params, 2e-4, 0.5, 0.999) for player in (judge, generator))
    for step in range(3):
        batch, z = trainer.batch(step, True), trainer.noise("discriminator", step, 0)["z"].numpy()
        labels, y = batch.labels.numpy(), one_hot(batch.labels)
        fake = generator.forward(z, y)
        grads, source, classes, watched = None, [], [], []
        for x, name in ((flat(batch), "real"), (fake, "fake")):
            out = judge.forward(x, y)
            found = cross_entropy(out[:, :1])
            of = np.full(N, CLASSES) if fake_class and name == "fake" else labels
            term, slope, right = named(out[:, 1:], of, 0.5)
            judge.backward(np.concatenate([found[name][1] / N, slope], 1))
            grads = judge.grads if grads is None else added(grads, judge.grads)
            source.append(found[name][0].mean())
            classes.append(term)
            watched += [found["watched"].mean()] + [right] * (name == "real")
        watched = [watched[0], watched[2], watched[1]]
        written = [*source, *classes, sum(source + classes), *watched, *norms(grads)]
        optim_d.step(grads)
        out = judge.forward(fake, y)
        found, (term, slope, right) = cross_entropy(out[:, :1]), named(out[:, 1:], labels, 2.0)
        generator.backward(judge.backward(np.concatenate([found["G"][1] / N, slope], 1)))
        terms = [found["G"][0].mean(), term]
        written += [*terms, sum(terms), found["watched"].mean(), right, *norms(generator.grads)]
        optim_g.step(generator.grads)
        trainer.step()
        (recorded,) = trainer.take_rows()
        assert recorded.pop("step") == step + 1
        np.testing.assert_allclose(list(recorded.values()), written, **CLOSE)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


class Joint(Player):
    """BiGAN's D(x, z): a Player whose label is z; ``backward`` gives the slopes at x and at z."""

    def __init__(self, module, normed):
        super().__init__(module, "latent", "features", [False, normed])

    def backward(self, slope):
        return super().backward(slope), self.code.at_input


@pytest.mark.parametrize("ratio", [{}, {"n_critic": 2}], ids=["shared", "two-to-one"])
@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
def test_bigan_terms_and_three_steps_equal_the_paper_written_out(normed, ratio):
    kind = "batch" if normed else "none"
    trainer = tiny_trainer("bigan", discriminator_norm=kind, label_smoothing=0.1, weight_decay=0.01, **ratio)
    generator = Player(trainer.model.generator, "none", "nowhere", [False, True, True, True], Tanh())
    encoder = Player(trainer.model.encoder, "none", "nowhere", [False, normed])
    judge = Joint(trainer.model.discriminator, normed)
    both = generator.params + encoder.params
    optim_d, optim_g = (Adam(params, 2e-4, 0.5, 0.999) for params in (judge.params, both))
    draw = 0
    for step in range(3):
        rows = []
        for repeat in range(ratio.get("n_critic", 1)):
            x, z = flat(trainer.batch(draw, True)), trainer.noise("discriminator", step, repeat)["z"].numpy()
            draw += 1
            made, grads, row, watched = [(x, encoder.forward(x, None)), (generator.forward(z, None), z)], None, [], []
            for (image, latent), name in zip(made, ("real", "fake"), strict=True):
                found = cross_entropy(judge.forward(image, latent))
                judge.backward(found[name][1] / N)
                grads = judge.grads if grads is None else added(grads, judge.grads)
                row.append(found[name][0].mean())
                watched.append(found["watched"].mean())
            rows.append([*row, sum(row), *watched, *norms(grads)])
            optim_d.step(added(grads, [0.01 * p for p in judge.params]))
        if ratio:
            x, z = flat(trainer.batch(draw, True)), trainer.noise("generator", step, 0)["z"].numpy()
            draw += 1
            made = [(x, encoder.forward(x, None)), (generator.forward(z, None), z)]
        p = sigmoid(judge.forward(*made[0]))
        encoder.backward(judge.backward(p / N)[1])  # E makes real pairs look made
        q = sigmoid(judge.forward(*made[1]))
        generator.backward(judge.backward((q - 1) / N)[0])  # G makes made pairs look real
        terms = [-np.log(1 - p).mean(), -np.log(q).mean()]
        written = [*np.mean(rows, 0), *terms, sum(terms), p.mean(), q.mean()]
        written += [*norms(generator.grads), *norms(encoder.grads)]
        optim_g.step(added(generator.grads + encoder.grads, [0.01 * p for p in both]))
        trainer.step()
        (recorded,) = trainer.take_rows()
        assert recorded.pop("step") == step + 1
        np.testing.assert_allclose(list(recorded.values()), written, **CLOSE)
    model = trainer.model
    same_weights(
        [(model.discriminator, judge.params), (model.generator, generator.params), (model.encoder, encoder.params)]
    )


def test_softmax_is_taken_once_so_a_sure_and_right_class_head_has_terms_of_nothing(monkeypatch):
    trainer = tiny_trainer("acgan")
    batch = trainer.batch(0, True)
    sure = (torch.zeros(N).double(), 40 * F.one_hot(batch.labels, CLASSES).double())
    monkeypatch.setattr(trainer.model, "heads", lambda noise, **images: [sure] * len(images))
    noise = trainer.noise("discriminator", 0, 0)
    first = trainer.model.terms("discriminator", batch, noise, {})
    second = trainer.model.terms("generator", batch, trainer.noise("generator", 0, 0), dict(first.carry))
    # A softmax of the softmax could not fall below log(1 + 2/e) = 0.55.
    terms = (first.losses["class real"], first.losses["class fake"], second.losses["class"])
    assert max(float(term) for term in terms) < 1e-15
    assert float(first.watch["accuracy real"]) == 1


@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["cgan", "cwgan-gp"])
def test_the_label_turns_the_slope_at_the_image_and_not_only_the_score(variant, kind, arch):
    """A code that is joined to the features right before a linear head would only shift the score."""
    config = configure(variant, {"arch": arch, "ngf": 2, "ndf": 8, "nz": 3, "conditioning": kind, "init": "default"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = registry().get("variants", variant)().build(config.options, Spec(1, 8, 3, names=("a", "b", "c"))).eval()
    slopes = []
    for label in (0, 1):
        images = Draws(0, "x").normal(16, 1, 8, 8).requires_grad_()
        (scores,) = model.judge({"labels": torch.full((16,), label)}, fake=images)
        slopes.append(torch.autograd.grad(scores.sum(), images)[0])
    assert float((slopes[0] - slopes[1]).norm()) > 1e-3 * float(slopes[0].norm())


def test_bigans_code_turns_the_slope_at_the_image_and_not_only_the_score():
    model = tiny_trainer("bigan").model.eval()
    slopes = []
    for code in (-1.0, 1.0):
        images = Draws(0, "x").normal(2, 1, 4, 4).double().requires_grad_()
        scores = model.discriminator(images, model.discriminator.latent(torch.full((2, 3), code).double()))
        slopes.append(torch.autograd.grad(scores.sum(), images)[0])
    assert float((slopes[0] - slopes[1]).norm()) > 1e-3 * float(slopes[0].norm())


@pytest.mark.parametrize("arch", ["dcgan", "mlp"])
def test_a_bigans_discriminator_hears_of_z_among_thousands_of_features(arch):
    """Of the variance of the joint layer's sums; of what convolutions find, z joined as it is had 1 to 3 %."""
    config = configure("bigan", {"ngf": 2, "ndf": 16, "arch": arch})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = registry().get("variants", "bigan")().build(config.options, Spec(1, 28)).discriminator
    # Images as smooth as clothes are: noise in every pixel would cancel in a convolution.
    images = F.interpolate(Draws(0, "x").normal(100, 1, 4, 4), 28, mode="bilinear").clamp(-1, 1)
    with torch.no_grad():
        found, weight = judge.trunk(images), judge.joint[0].weight
        of_z = judge.latent(2 * Draws(0, "z").uniform(100, 50) - 1) @ weight[:, found.shape[1] :].T
        of_x = found @ weight[:, : found.shape[1]].T
    share = float(of_z.var(0).mean() / (of_z.var(0) + of_x.var(0)).mean())
    assert 0.08 < share < 0.5


def test_an_embedding_beside_z_is_as_long_as_a_one_hot_vector():
    """At the length of z it would soon drown z: see `label_code`."""
    model = tiny_trainer("acgan", embedding_width=400).model
    noise = model.noise("sample", 50, Draws(0, "x"))
    joined = model.latents({**noise, "z": noise["z"].double()})[:, 3:]
    assert joined.norm(dim=1).tolist() == pytest.approx([1] * 50, abs=0.15)


@pytest.mark.parametrize("variant", LABELLED)
def test_fakes_have_the_real_labels_for_the_discriminator_and_drawn_ones_for_the_generator(variant, monkeypatch):
    trainer = tiny_trainer(variant, n_critic=2, **({"warmup": 0} if variant == "cwgan" else {}))
    used = []
    generate = trainer.model.generate
    monkeypatch.setattr(trainer.model, "generate", lambda noise: used.append(noise["labels"]) or generate(noise))
    trainer.step()
    drawn = trainer.noise("generator", 0, 0)["labels"]
    expected = [trainer.batch(0, True).labels, trainer.batch(1, True).labels, drawn]
    assert [labels.tolist() for labels in used] == [labels.tolist() for labels in expected]


@pytest.mark.parametrize("variant", LABELLED)
def test_labels_of_samples_are_drawn_uniformly_and_change_the_images(variant):
    trainer = tiny_trainer(variant)
    noise = trainer.model.noise("sample", 600, Draws(0, "x"))
    assert noise["labels"].dtype == torch.int64
    assert noise["labels"].bincount(minlength=3).min() > 150
    noise = {name: value.double() if value.is_floating_point() else value for name, value in noise.items()}
    one, two = ({**noise, "labels": torch.full((600,), label)} for label in (0, 1))
    model = trainer.model.eval()
    assert float((model.sample(one) - model.sample(two)).detach().abs().max()) > 1e-6


def test_a_penalised_critic_draws_one_t_for_each_sample_and_warns_of_batch_norm():
    trainer = tiny_trainer("cwgan-gp")
    t = trainer.noise("critic", 0, 0)["t"]
    assert t.shape == (N,)
    assert len(set(t.tolist())) == N
    assert not any(isinstance(layer, _BatchNorm) for layer in trainer.model.discriminator.modules())
    with pytest.warns(UserWarning, match="penalty holds each sample"):
        tiny_trainer("cwgan-gp", discriminator_norm="batch")


def test_the_penalty_is_of_the_norm_of_a_whole_sample_and_not_of_each_pixel(monkeypatch):
    trainer = tiny_trainer("cwgan-gp")

    def quarters(noise, **images):
        return [x.flatten(1).sum(1) / 4 for x in images.values()]

    # Sixteen pixels of slope 1/4 each: of norm 1 together, and 9/16 from 1 if each were held to it alone.
    monkeypatch.setattr(trainer.model, "judge", quarters)
    terms = trainer.model.terms("critic", trainer.batch(0, True), trainer.noise("critic", 0, 0), {})
    assert float(terms.losses["penalty"].detach()) == pytest.approx(0, abs=1e-15)
    assert float(terms.watch["slope"].detach()) == pytest.approx(1)


@pytest.mark.parametrize("variant", ["gan", "lsgan", "bigan", *LABELLED])
def test_no_batch_norm_has_the_epsilon_of_0_8_that_tutorials_pass_as_momentum(variant):
    model = tiny_trainer(variant).model
    assert {layer.eps for layer in model.modules() if isinstance(layer, _BatchNorm)} == {1e-5}


@pytest.mark.parametrize("variant", ["gan", "lsgan", "bigan", *LABELLED])
def test_the_discriminators_fakes_are_detached(variant):
    trainer = tiny_trainer(variant)
    phase = trainer.model.critic_name
    terms = trainer.model.terms(phase, trainer.batch(0, True), trainer.noise(phase, 0, 0), {})
    weights = [p for name in trainer.model.ema_networks for p in trainer.model.get_submodule(name).parameters()]
    assert set(torch.autograd.grad(sum(terms.losses.values()), weights, allow_unused=True)) == {None}


@pytest.mark.parametrize("variant", LABELLED)
def test_images_without_labels_are_refused_with_what_to_do(variant):
    images = ImageSet(Draws(0, "x").integers(256, 9, 1, 8, 8).to(torch.uint8))
    with pytest.raises(gankit.UsageError, match="a folder for each class"):
        Trainer(configure(variant, TINY), images)


def test_a_text_vector_is_a_function_of_the_text_alone_and_likens_texts_that_share_letters():
    from gankit.conditioning import text_vector

    coat, again, coats, bag = (text_vector(text, 2000) for text in ("Coat", " coat", "Coats", "Bag"))
    assert torch.equal(coat, again)
    assert float(coat.std()) == pytest.approx(1, abs=0.1)
    assert float(F.cosine_similarity(coat, coats, 0)) > 0.5
    assert abs(float(F.cosine_similarity(coat, bag, 0))) < 0.1


def test_the_defaults_are_those_published():
    found = {name: configure(name, {}) for name in ("gan", "lsgan", "bigan", *LABELLED)}
    o = found["gan"].options
    assert (o.arch, o.nz, o.lr_g, o.lr_d, o.beta1, o.beta2) == ("mlp", 100, 2e-4, 2e-4, 0.5, 0.999)
    o = found["acgan"].options
    assert (o.conditioning, o.embedding_width, o.nz, found["acgan"].train.batch_size) == ("embedding", 100, 100, 128)
    o = found["bigan"].options
    assert (o.nz, o.weight_decay, o.lr_g, found["bigan"].train.batch_size) == (50, 2.5e-5, 2e-4, 128)
    assert found["cgan"].options.arch == "mlp"
    assert {found[name].options.arch for name in ("cdcgan", "cwgan", "cwgan-gp", "acgan", "lsgan")} == {"dcgan"}
    assert (found["cwgan"].options.clip, found["cwgan-gp"].options.gp_weight) == (0.01, 10)
