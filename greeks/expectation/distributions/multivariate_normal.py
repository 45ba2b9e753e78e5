"""The multivariate normal distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from greeks.expectation.distributions.distribution import Branch, Distribution, Pull
from greeks.expectation.distributions.normal import maxwell, rayleigh
from greeks.expectation.domain import FloatArray, lower_triangular, real
from pricers.errors import InvalidInput

__all__ = ["MultivariateNormal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MultivariateNormal(Distribution):
    r"""A normal vector, :math:`x = \mu + L z`, with covariance :math:`L L^\top`.

    Score: :math:`u = L^{-\top} z` by the mean and the lower triangle of
    :math:`u z^\top - \operatorname{diag}(1/L_{ii})` by the factor. A move dL of the factor is a move
    :math:`A = L^{-1} dL` of :math:`z \to z + A z`, so the weak derivatives are those of the standard normals z.
    Derivatives by the factor have its shape, with zeros above the diagonal.

    Attributes
    ----------
    mean : ndarray [dim]
    cholesky : ndarray [dim, dim]
        L, lower triangular with a positive diagonal.
    """

    mean: Any
    cholesky: Any

    def __post_init__(self) -> None:
        mean, cholesky = real("mean", self.mean), lower_triangular("cholesky", self.cholesky)
        if mean.shape != cholesky.shape[:1]:
            raise InvalidInput("mean", mean.shape, f"must be a vector of {len(cholesky)} numbers, as cholesky has rows")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cholesky", cholesky)

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return {"mean": self.mean, "cholesky": self.cholesky}

    def at(self, parameters: Mapping[str, Any]) -> MultivariateNormal:
        """See `Distribution.at`."""
        return replace(self, **parameters)

    def sample(self, rng: np.random.Generator, samples: int) -> FloatArray:
        """See `Distribution.sample`."""
        found: FloatArray = self.mean + rng.standard_normal((samples, len(self.mean))) @ self.cholesky.T
        return found

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        z = self._whitened(x)
        constant = np.log(np.diag(self.cholesky)).sum() + 0.5 * len(self.mean) * np.log(2.0 * np.pi)
        return np.where(np.isfinite(z).all(axis=1), -0.5 * (z * z).sum(axis=1) - constant, -np.inf)

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`."""
        inverse = np.linalg.inv(np.tril(parameters["cholesky"]))
        z = (self._known(x) - parameters["mean"]) @ inverse.T
        u = z @ inverse
        return {"mean": u, "cholesky": np.tril(u[:, :, None] * z[:, None, :]) - np.diag(np.diag(inverse))}

    def fisher_information(self) -> FloatArray:
        r"""See `Distribution.fisher_information`; for two moves A and B of z it is :math:`\operatorname{tr} A(B + B^\top)`."""
        dim = len(self.mean)
        inverse = np.linalg.inv(self.cholesky)
        below = np.tril(np.ones((dim, dim)))
        moves = np.einsum("ai,bj,ij->ijab", inverse, np.eye(dim), below)
        out = np.zeros((dim + dim * dim, dim + dim * dim))
        out[:dim, :dim] = inverse.T @ inverse
        twice = moves + moves.swapaxes(2, 3)
        out[dim:, dim:] = np.einsum("ijab,klba->ijkl", moves, twice).reshape(dim * dim, -1)
        return out

    def reparameterise(self, x: Any) -> Pull:
        """See `Distribution.reparameterise`."""
        z = self._whitened(x)
        return lambda slope: {"mean": slope, "cholesky": np.tril(slope[:, :, None] * z[:, None, :])}

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """See `Distribution.weak_derivative`: for each z the term of its mean and that of its standard deviation."""
        z = self._whitened(x)
        inverse = np.linalg.inv(self.cholesky)
        for j in range(z.shape[1]):
            r, m, u = rayleigh(rng, len(z)), maxwell(rng, len(z)), rng.random(len(z))
            weight = inverse[j] / np.sqrt(2.0 * np.pi)
            before = z * (np.arange(z.shape[1]) < j)  # a factor's entry (i, k) shifts z_j by its own share of z_k
            tilt = np.tril(weight[None, :, None] * before[:, None, :])
            yield Branch(weights={"mean": weight, "cholesky": tilt}, plus=self._at(z, j, r), minus=self._at(z, j, -r))
            stretch = np.zeros_like(inverse)
            stretch[:, j] = inverse[j]
            yield Branch(weights={"cholesky": np.tril(stretch)}, plus=self._at(z, j, m), minus=self._at(z, j, u * m))

    def _at(self, z: FloatArray, j: int, values: FloatArray) -> FloatArray:
        moved = z.copy()
        moved[:, j] = values
        found: FloatArray = self.mean + moved @ self.cholesky.T
        return found

    def _whitened(self, x: Any) -> FloatArray:
        found: FloatArray = np.linalg.solve(self.cholesky, (self._known(x) - self.mean).T).T
        return found

    def _known(self, x: Any) -> FloatArray:
        known: FloatArray = np.asarray(x, dtype=float)
        if known.ndim != 2 or known.shape[1:] != self.mean.shape:
            raise InvalidInput("x", known.shape, f"must have the shape (samples, {len(self.mean)})")
        return known
