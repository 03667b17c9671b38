"""Descent: multinomial logistic regression with L2 weight decay, by L-BFGS in the space where its products are small.

A point is float32 (parts, labels, columns + 1), the bias last: what is sought, then how it acts, which may be the same.
The product of two points is that of one's first part with the other's last, and is the same in both spaces; so is every
step, and what is found.
"""

from typing import Protocol

import numpy as np

from snaplabel.heads import Floats
from trainer.dataset import Ints

# Steps back from which the next one's bend is guessed (Liu and Nocedal 1989).
MEMORY = 8
# A step must bring this share of what the slope promises (Armijo 1966), or it is halved, at most so often.
LEAST_GAIN = 1e-4
MOST_HALVINGS = 20


class Space(Protocol):
    """Where a head for some photos is sought."""

    def start(self, labels: int) -> Floats:
        """The point of a head that knows nothing."""

    def logits(self, point: Floats) -> Floats:
        """Its answers to the photos; float32 (labels, N)."""

    def slope(self, change: Floats) -> Floats:
        """The loss's gradient, from that by the logits, float32 (labels, N)."""

    def weights(self, point: Floats) -> Floats:
        """Weights and bias; float32 (labels, D + 1)."""


class Weights:
    """Points are the weights themselves: (1, labels, D + 1)."""

    def __init__(self, features: Floats) -> None:
        self.features = features

    def start(self, labels: int) -> Floats:
        return np.zeros((1, labels, self.features.shape[1] + 1), np.float32)

    def logits(self, point: Floats) -> Floats:
        found: Floats = point[0, :, :-1] @ self.features.T
        found += point[0, :, -1:]
        return found

    def slope(self, change: Floats) -> Floats:
        found = self.start(len(change))
        found[0, :, :-1] = change @ self.features
        found[0, :, -1] = change.sum(axis=1)
        return found

    def weights(self, point: Floats) -> Floats:
        found: Floats = point[0]
        return found


class Shares:
    """Weights are sums of photos, so points are each photo's share in them and what these weights answer to each.

    (2, labels, N + 1). One product with N × N numbers takes the place of two with N × D, and a step's answers are there
    for nothing: with fewer photos than numbers, less than half the work.
    """

    def __init__(self, features: Floats) -> None:
        self.features = features
        self.likeness = features @ features.T

    def start(self, labels: int) -> Floats:
        return np.zeros((2, labels, len(self.features) + 1), np.float32)

    def logits(self, point: Floats) -> Floats:
        found: Floats = point[1, :, :-1] + point[1, :, -1:]
        return found

    def slope(self, change: Floats) -> Floats:
        found = self.start(len(change))
        found[0, :, :-1], found[1, :, :-1] = change, change @ self.likeness
        found[:, :, -1] = change.sum(axis=1)
        return found

    def weights(self, point: Floats) -> Floats:
        return np.concatenate([point[0, :, :-1] @ self.features, point[0, :, -1:]], axis=1)


def cheaper(features: Floats) -> Space:
    """The space with less to compute; features: float32 (N, D)."""
    return Shares(features) if features.shape[0] < features.shape[1] else Weights(features)


def descend(
    space: Space, truth: Ints, importance: Floats, start: Floats, decay: float, iterations: int, tolerance: float
) -> Floats:
    """The point with the least log-loss + decay / 2 · |weight|².

    truth: (N,). importance: float32 (N,), of each photo, summing to 1. start: a point. It ends after so many
    iterations, or with one that lowers the loss by no more than the tolerance, a share.
    """
    each = np.arange(len(truth))

    def look(logits: Floats) -> tuple[float, Floats]:
        chances = logits - logits.max(axis=0)
        right = chances[truth, each]
        np.exp(chances, out=chances)
        total = chances.sum(axis=0)
        chances /= total
        return float(np.vdot(importance, np.log(total) - right)), chances

    def slope(chances: Floats, point: Floats) -> Floats:
        change = chances * importance
        change[truth, each] -= importance
        found = space.slope(change)
        found[:, :, :-1] += np.float32(decay) * point[:, :, :-1]
        return found

    point, logits = start, space.logits(start)
    loss, chances = look(logits)
    loss += decay / 2 * _size(point)
    gradient = slope(chances, point)
    memory: list[tuple[Floats, Floats, np.float32]] = []
    for _ in range(iterations):
        direction = _direction(gradient, memory)
        falls = float(_product(gradient, direction))
        if falls > -1e-12:
            break
        along = space.logits(direction)
        spread = chances * along
        bend = np.einsum("ln,ln->n", spread, along) - spread.sum(axis=0) ** 2
        # Newton's step along the line.
        step = -falls / max(float(np.vdot(importance, bend)) + decay * _size(direction), 1e-12)
        for _ in range(MOST_HALVINGS):
            there, seen = point + np.float32(step) * direction, logits + np.float32(step) * along
            lower, chances = look(seen)
            lower += decay / 2 * _size(there)
            if lower <= loss + LEAST_GAIN * step * falls:
                break
            step /= 2
        else:
            break
        steeper = slope(chances, there)
        moved, turned = there - point, steeper - gradient
        if (bent := _product(moved, turned)) > 0:
            memory = [*memory, (moved, turned, 1 / bent)][-MEMORY:]
        gain = (loss - lower) / max(loss, lower, 1.0)
        point, logits, gradient, loss = there, seen, steeper, lower
        if gain <= tolerance:
            break
    return point


def _direction(gradient: Floats, memory: list[tuple[Floats, Floats, np.float32]]) -> Floats:
    """Downhill, by what the last steps say of the bend (Nocedal 1980): (step, turn of the gradient, 1 / product)."""
    found = -gradient
    shares = []
    for step, turn, scale in reversed(memory):
        shares.append(scale * _product(step, found))
        found -= shares[-1] * turn
    if memory:
        _, turn, scale = memory[-1]
        found /= scale * _product(turn, turn)
    for (step, turn, scale), share in zip(memory, reversed(shares), strict=True):
        found += (share - scale * _product(turn, found)) * step
    return found


def _product(one: Floats, other: Floats) -> np.float32:
    return np.float32(np.vdot(one[0], other[-1]))


def _size(point: Floats) -> float:
    """|weight|², the bias not counted."""
    return float(np.einsum("lc,lc->", point[0, :, :-1], point[-1, :, :-1]))
