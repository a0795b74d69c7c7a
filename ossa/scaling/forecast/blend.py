"""Online aggregation of forecasts: whoever was right lately has the say, and a convex mix may beat them all.

Exponential weights on the linearised pinball loss, with a learning rate of each expert's own, after Bernstein online
aggregation (Wintenberger 2017, "Optimal learning with Bernstein online aggregation"). Old regret fades, so that a
changed series changes the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FADE = 0.998
"""What is left of a regret after one observation: half of it after 350."""


class Blend:
    """Weights (Q, K) of K experts for each of Q quantiles.

    Args:
        quantiles: (Q,) the levels whose pinball loss counts.
        prior: (K,) how much is expected of each expert before anything was seen; above 0.
    """

    def __init__(self, quantiles: Floats, prior: Floats) -> None:
        self._levels = quantiles
        shape = (len(quantiles), len(prior))
        self._prior = np.log(prior / prior.sum())
        self._regret = np.zeros(shape)
        self._squares = np.full(shape, 1e-12)
        self._widest = np.full(shape, 1e-9)
        self._push = max(1.0, float(np.log(len(prior))))
        self.weights = np.broadcast_to(prior / prior.sum(), shape).copy()

    def mix(self, forecasts: Floats) -> Floats:
        """(Q, K) -> (Q,)."""
        return np.asarray((self.weights * forecasts).sum(axis=1))

    def learn(self, forecasts: Floats, weights: Floats, mixed: Floats, actual: float) -> None:
        """What came of the `forecasts` (Q, K) that were mixed with `weights` to `mixed` (Q,)."""
        slope = np.where(mixed > actual, 1.0 - self._levels, np.where(mixed < actual, -self._levels, 0.0))
        losses = slope[:, None] * forecasts
        regret = (weights * losses).sum(axis=1)[:, None] - losses
        self._widest = np.maximum(self._widest * FADE, np.abs(regret))
        self._squares = self._squares * FADE + regret * regret
        self._regret = self._regret * FADE + regret
        rate = np.minimum(0.5 / self._widest, np.sqrt(self._push / self._squares))
        tilt = self._prior + rate * self._regret
        weights = rate * np.exp(tilt - tilt.max(axis=1, keepdims=True))
        self.weights = weights / weights.sum(axis=1, keepdims=True)
