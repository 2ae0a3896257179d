"""A mixture of Gaussians fitted to grey values, and the thresholds between its phases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from dfx_homog.errors import BadInput

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Sum of phases, weights_i N(means_i, sigmas_i^2), by rising mean; means and sigmas in grey values.

    thresholds     (phases - 1,) grey values where the likelier of two neighbouring phases changes
    misclassified  (phases,) share of each phase that lies beyond its thresholds, if the mixture is the truth
    """

    means: Floats
    sigmas: Floats
    weights: Floats
    thresholds: Floats

    @property
    def misclassified(self) -> Floats:
        edges = np.concatenate([[-np.inf], self.thresholds, [np.inf]])
        scaled = (edges[None, :] - self.means[:, None]) / self.sigmas[:, None]
        inside = np.diff(ndtr(scaled), axis=1)
        return np.asarray(1 - np.diagonal(inside))

    def arrays(self) -> dict[str, Floats]:
        """By name, for the report."""
        names = ("means", "sigmas", "weights", "thresholds", "misclassified")
        return {name: np.asarray(getattr(self, name)) for name in names}


def fit_mixture(values: Floats, phases: int, limits: tuple[float, float], common: bool) -> Mixture:
    """Fit by expectation-maximisation (scikit-learn), started from k-means with a fixed seed. Serial.

    values: (n,) a sample of the grey values; limits: least and greatest grey value of the image; common: all phases
    have the same sigma. Raises BadInput if there are fewer grey values than phases, or if some phase is nowhere the
    likeliest.
    """
    from sklearn.mixture import GaussianMixture

    distinct = len(np.unique(values))
    if distinct < phases:
        raise BadInput(f"segment: {phases} phases, but the image has only {distinct} different grey values")
    low, scale = limits[0], limits[1] - limits[0]
    kind = "tied" if common else "full"
    model = GaussianMixture(phases, covariance_type=kind, max_iter=500, tol=1e-5, random_state=0)
    model.fit(((values - low) / scale)[:, None])
    order = np.argsort(model.means_[:, 0])
    means = low + scale * model.means_[order, 0]
    variances = np.broadcast_to(model.covariances_.ravel(), phases)  # one for all, or one each
    sigmas = scale * np.sqrt(variances[order])
    weights = model.weights_[order]
    crossings = [_crossing(means, sigmas, weights, i) for i in range(phases - 1)]
    thresholds = np.array([c for c in crossings if c is not None])
    if len(thresholds) < phases - 1 or np.any(np.diff(thresholds) <= 0):
        raise BadInput(
            f"segment: the grey values do not show {phases} phases (the mixture's means are "
            f"{', '.join(f'{m:.4g}' for m in means)}; allowed: fewer phases, or denoise first)"
        )
    return Mixture(means, sigmas, weights, thresholds)


def _crossing(means: Floats, sigmas: Floats, weights: Floats, i: int) -> float | None:
    """Where phases i and i + 1 are equally likely between their means; None if one of them is never the likelier."""
    a, b = means[i], means[i + 1]

    def difference(x: float) -> float:
        logs = np.log(weights[i : i + 2] / sigmas[i : i + 2])
        logs = logs - 0.5 * ((x - means[i : i + 2]) / sigmas[i : i + 2]) ** 2
        return float(logs[0] - logs[1])

    return float(brentq(difference, a, b)) if difference(a) > 0 > difference(b) else None
