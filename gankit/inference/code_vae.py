"""A small VAE over the codes of a VQ-VAE: what the published prior does with a PixelCNN, cheaply."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit.core.rng import RandomStream, key

LATENT, HIDDEN, BATCH, RATE = 32, 512, 100, 1e-3


class CodeVAE(nn.Module):
    """Codes as indices [n, m] of a codebook [K, d] <-> latents [n, 32]; one hidden layer each way.

    The decoder gives a point for each code, and a code's probability is a softmax of its product with that point: K
    outputs for each of hundreds of codes would make a huge layer.
    """

    def __init__(self, count: int, codebook: Tensor) -> None:
        super().__init__()
        self.count, d = count, codebook.shape[1]
        self.encoder = nn.Sequential(nn.Linear(count * d, HIDDEN), nn.LeakyReLU(0.01), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.LeakyReLU(0.01), nn.Linear(HIDDEN, count * d))
        self.codebook: Tensor
        self.register_buffer("codebook", codebook.float())
        self.bias = nn.Parameter(torch.zeros(len(codebook)))

    def loss(self, index: Tensor, epsilon: Tensor) -> Tensor:
        """Minus the bound of log p(codes) in nats, the mean over index [n, m], with epsilon [n, 32] standard normal."""
        mean, log_variance = self.encoder(F.embedding(index, self.codebook).flatten(1)).chunk(2, 1)
        logits = self.logits(mean + (0.5 * log_variance).exp() * epsilon)
        cross = F.cross_entropy(logits.flatten(0, 1), index.flatten(), reduction="sum") / len(index)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        total: Tensor = cross + kl
        return total

    def logits(self, z: Tensor) -> Tensor:
        """[n, 32] -> [n, m, K]."""
        points: Tensor = self.decoder(z).unflatten(1, (self.count, -1))
        return points @ self.codebook.T + self.bias

    def likeliest(self, z: Tensor) -> Tensor:
        """z: [n, 32]. Returns the likeliest codes [n, m * d], as a VAE of images shows its means."""
        return F.embedding(self.logits(z).argmax(2), self.codebook).flatten(1)


def fit(index: Tensor, codebook: Tensor, steps: int, seed: int) -> tuple[CodeVAE, float]:
    """A VAE trained on codes [N, m] by Adam, and the mean loss of the last tenth of its steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "code vae") % 2**63)
        vae = CodeVAE(index.shape[1], codebook)
    optimizer = torch.optim.Adam(vae.parameters(), RATE)
    draws = RandomStream(seed, "code vae steps")
    losses = []
    for _ in range(steps):
        loss = vae.loss(index[draws.integers(len(index), BATCH)], draws.normal(BATCH, LATENT))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    last = losses[-max(1, steps // 10) :]
    return vae.eval().requires_grad_(False), sum(last) / len(last)
