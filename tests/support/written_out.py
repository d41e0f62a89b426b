"""Networks, losses and Adam written out in float64 NumPy, derivative by derivative, to test gankit's own against.

Nothing here calls gankit or differentiates by itself.
"""

from __future__ import annotations

import numpy as np

SLOPE = 0.2  # of LeakyReLU
EPS = 1e-5  # of batch norm


class Linear:
    def __init__(self, weight, bias=None):
        self.params = [weight] if bias is None else [weight, bias]

    def forward(self, x):
        self.x = x
        return x @ self.params[0].T + sum(self.params[1:])

    def backward(self, dy):
        self.grads = [dy.T @ self.x, dy.sum(0)][: len(self.params)]
        return dy @ self.params[0]


class BatchNorm:
    def __init__(self, weight, bias):
        self.params = [weight, bias]

    def forward(self, x):
        self.deviation = np.sqrt(x.var(0) + EPS)
        self.normal = (x - x.mean(0)) / self.deviation
        weight, bias = self.params
        return self.normal * weight + bias

    def backward(self, dy):
        self.grads = [(dy * self.normal).sum(0), dy.sum(0)]
        dn = dy * self.params[0]
        return (dn - dn.mean(0) - self.normal * (dn * self.normal).mean(0)) / self.deviation


class LeakyReLU:
    params: tuple = ()
    grads: tuple = ()

    def forward(self, x):
        self.slope = np.where(x > 0, 1.0, SLOPE)
        return x * self.slope

    def backward(self, dy):
        return dy * self.slope


class Tanh:
    params: tuple = ()
    grads: tuple = ()

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class Net:
    """Layers in a row; ``backward`` gives the gradient of the input and leaves those of the parameters in ``grads``."""

    def __init__(self, *layers):
        self.layers = layers

    @property
    def params(self):
        return [p for layer in self.layers for p in layer.params]

    @property
    def grads(self):
        return [g for layer in self.layers for g in layer.grads]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


def mlp(named, *, sizes, norm, last):
    """A Net of linear layers from a list of parameter arrays, in the order the network holds them.

    ``norm`` says for each hidden layer whether batch norm follows; ``last`` is the layer at the end, or None.
    """
    arrays = [np.array(a, dtype=np.float64) for a in named]
    layers = []
    for hidden in range(sizes):
        layers.append(Linear(arrays.pop(0), None if norm[hidden] else arrays.pop(0)))
        if norm[hidden]:
            layers.append(BatchNorm(arrays.pop(0), arrays.pop(0)))
        layers.append(LeakyReLU())
    layers.append(Linear(arrays.pop(0), arrays.pop(0)))
    assert not arrays
    return Net(*layers, *([last] if last else []))


def gradient_penalty(critic, x, target=1.0, pixels=None):
    """(mean of (||dD/dx|| - target)^2, its gradients for each parameter, the norms [n]), for Linear and LeakyReLU.

    Only the first ``pixels`` inputs are the image, by which D is differentiated; the others stand beside it.

    With the slopes s_i of the activations held (they are constant almost everywhere) the input gradient of
    D(x) = w3 s2 W2 s1 W1 x is g = W1' s1 W2' s2 w3: linear in each weight, so each derivative is read off.
    """
    critic.forward(x)
    linears = [layer for layer in critic.layers if isinstance(layer, Linear)]
    slopes = [layer.slope for layer in critic.layers if isinstance(layer, LeakyReLU)]
    n = len(x)
    u = [None] * len(linears)  # u[i]: what layer i's weight transposed is applied to, [n, out]
    u[-1] = np.ones((n, 1))
    for i in reversed(range(len(linears) - 1)):
        u[i] = slopes[i] * (u[i + 1] @ linears[i + 1].params[0])
    g = u[0] @ linears[0].params[0]
    g[:, pixels or g.shape[1] :] = 0
    norms = np.sqrt((g**2).sum(1))
    dg = (2 * (norms - target) / norms / n)[:, None] * g
    grads = []
    v = dg  # the derivative reaching layer i from below, [n, in]
    for i, layer in enumerate(linears):
        grads += [u[i].T @ v, *map(np.zeros_like, layer.params[1:])]
        if i < len(slopes):
            v = (v @ layer.params[0].T) * slopes[i]
    return ((norms - target) ** 2).mean(), grads, norms


class Adam:
    def __init__(self, params, lr, beta1, beta2, eps=1e-8):
        self.params, self.lr, self.betas, self.eps = params, lr, (beta1, beta2), eps
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]
        self.t = 0

    def step(self, grads, factor=1.0):
        self.t += 1
        one, two = self.betas
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m += (1 - one) * (g - m)
            v += (1 - two) * (g * g - v)
            p -= self.lr * factor * (m / (1 - one**self.t)) / (np.sqrt(v / (1 - two**self.t)) + self.eps)


class RMSprop:
    def __init__(self, params, lr, alpha=0.99, eps=1e-8):
        self.params, self.lr, self.alpha, self.eps = params, lr, alpha, eps
        self.v = [np.zeros_like(p) for p in params]

    def step(self, grads, factor=1.0):
        for p, g, v in zip(self.params, grads, self.v, strict=True):
            v += (1 - self.alpha) * (g * g - v)
            p -= self.lr * factor * g / (np.sqrt(v) + self.eps)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Spectral(Linear):
    """A linear layer whose weight is divided by its largest singular value, as a power iteration from the vectors u
    and v finds it: ``iterate`` takes one step of it, which an update does once (Miyato et al. 2018, algorithm 1).
    """

    def __init__(self, weight, bias, u, v):
        super().__init__(weight, bias)
        self.u, self.v = u, v

    def iterate(self):
        weight = self.params[0]
        self.u = weight @ self.v / np.linalg.norm(weight @ self.v)
        self.v = weight.T @ self.u / np.linalg.norm(weight.T @ self.u)
        self.sigma = self.u @ weight @ self.v
        self.divided = weight / self.sigma

    def forward(self, x):
        self.x = x
        return x @ self.divided.T + sum(self.params[1:])

    def backward(self, dy):
        by_divided = dy.T @ self.x
        along = (by_divided * self.divided).sum()
        by_weight = (by_divided - along * np.outer(self.u, self.v)) / self.sigma
        self.grads = [by_weight, dy.sum(0)][: len(self.params)]
        return dy @ self.divided


def slope_penalty(d, x, code=None, weight=None):
    """(mean of ||dD/dx||^2, its gradients for each parameter of ``d``, by ``weight``, the norms [n]), for layers Linear
    and LeakyReLU and D(x, y) = d(x) + <V y, h>, h what d's last layer takes; ``code`` is y [n, classes], ``weight`` V.

    The slope is linear in each weight while no activation changes its sign: see ``gradient_penalty``.
    """
    d.forward(x)
    one, two, last = (layer for layer in d.layers if isinstance(layer, Linear))
    first, second = (layer.slope for layer in d.layers if isinstance(layer, LeakyReLU))
    top = np.repeat(last.params[0], len(x), 0) + (0 if code is None else code @ weight.T)  # dD/dh, [n, features]
    high = second * top
    low = first * (high @ two.params[0])
    g = low @ one.params[0]
    dg = 2 * g / len(x)
    dlow = first * (dg @ one.params[0].T)
    dtop = second * (dlow @ two.params[0].T)
    grads = [low.T @ dg, None, high.T @ dlow, None, dtop.sum(0)[None], None]
    grads = [np.zeros_like(p) if g is None else g for g, p in zip(grads, d.params, strict=True)]
    return (g**2).sum(1).mean(), grads, None if code is None else dtop.T @ code, np.sqrt((g**2).sum(1))
