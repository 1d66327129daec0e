"""The noisy Gram matrix of items: one release, from which item-to-item models are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.linalg import eigh

from ecomrec._memory import check_memory
from ecomrec._validation import Rule, choice, integer, jobs
from ecomrec.base import SideTables
from ecomrec.cf._linear import DenseWeights, SparseWeights, WeightedItems, lapack_threads
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.kernels import private_gram
from ecomrec.privacy._model import PrivateRecommender
from ecomrec.privacy._releases import Releases
from ecomrec.privacy.accounting.composition import PrivacyEvent, ZCDPEvent
from ecomrec.privacy.bounding import ContributionBounder, PrivateRows
from ecomrec.state import ArrayRule

# Norm of a user's integer row: an entry of the sum over 2**31 users stays below 2**62.
GRID = 1 << 15
# Weights beyond this are cut, which only keeps their squares finite.
_LARGEST = 1e100
# Integers, then the same in float32 beside them; later eigenvectors and what they make.
_BYTES = 12.0
_ADVICE = "Keep fewer items, or use DPALS, whose memory grows with the items and not their square."


@dataclass(frozen=True, eq=False)
class ReleasedWeights(DenseWeights):
    """Dense weights, the released popularity, and the ridge they were made with."""

    popularity: np.ndarray
    regularization: float

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return super().array_rules(shop) | {"popularity": ArrayRule((shop.n_items,))}


@dataclass(frozen=True, eq=False)
class ReleasedNeighbors(SparseWeights):
    """Neighbours of each item, and the released popularity."""

    popularity: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return {"popularity": ArrayRule((shop.n_items,))}


class Spectrum(NamedTuple):
    """A noisy Gram matrix by its eigenvalues and -vectors, those of mere noise faded out.

    Attributes
    ----------
    values : ndarray of shape (n_items,), float32
        None below 0.
    vectors : ndarray of shape (n_items, n_items), float32
        By column.
    trace, n_entries : float
        Of the matrix before: sums of its diagonal, and of everything, which is the number of
        users' items.
    edge : float
        The largest eigenvalue that noise alone would have.
    noise : float
        Standard deviation of the noise on the diagonal.
    """

    values: np.ndarray
    vectors: np.ndarray
    trace: float
    n_entries: float
    edge: float
    noise: float

    def popularity(self) -> np.ndarray:
        """Sums of the rows of what is left: about the number of users of each item."""
        ones: np.ndarray = self.vectors.sum(axis=0)
        sums: np.ndarray = self.vectors @ (self.values * ones)
        return sums


class GramModel(PrivateRecommender, WeightedItems):
    r"""Base of models made from one noisy Gram matrix of items.

    Each user's row is a whole-number vector :math:`q_u` with
    :math:`\lVert q_u \rVert_2 \le 2^{15}`; what is released is
    :math:`\sum_u q_u q_u^\top` with symmetric noise. One user changes it by
    :math:`\lVert q_u q_u^\top \rVert_F = \lVert q_u \rVert^2 \le 2^{30}`. Everything after that is
    post-processing, which costs nothing.
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **PrivateRecommender._param_rules,
        "weighting": choice("binary", "weight"),
        "n_users": integer(1, 2**31, none=True),
        "n_jobs": jobs(),
    }
    max_items_per_user: int
    weighting: str
    n_users: int | None

    def _bounder(self) -> ContributionBounder:
        if self.weighting == "binary":
            return ContributionBounder(self.max_items_per_user)
        return ContributionBounder(
            self.max_items_per_user, weighting="weight", clip_value=_LARGEST
        )

    def _check_before(self, n_items: int) -> None:
        check_memory(type(self).__name__, n_items, _BYTES * n_items**2, _ADVICE)

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        return self._gaussians({"gram": 1.0})

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> Any:
        values = rows.integer_rows(GRID)
        exact = private_gram.user_gram(rows.indptr, rows.items, values, n_items, self.n_jobs)
        released = releases.symmetric("gram", exact, GRID**2)
        del exact, values
        matrix = np.empty(released.shape, dtype=np.float32)
        np.multiply(released, GRID**-2.0, out=matrix, casting="unsafe")
        del released
        return self._made(spectrum(matrix, _noise(self._plan(n_items)["gram"]), self.n_jobs))

    def _made(self, found: Spectrum) -> Any:
        """What is learned from the released matrix."""
        raise NotImplementedError


def _noise(event: PrivacyEvent | None) -> float:
    """Standard deviation of the noise of a release whose sensitivity is 1."""
    if event is None:
        return 0.0
    if isinstance(event, ZCDPEvent):
        return float(1 / np.sqrt(2 * event.rho))
    return float(event.noise_multiplier)  # type: ignore[union-attr]


def spectrum(matrix: np.ndarray, noise: float, n_jobs: int | None) -> Spectrum:
    r"""Take a noisy symmetric matrix apart, and fade what noise alone may have made.

    Symmetric noise of standard deviation s on the diagonal and :math:`s / \sqrt 2` beside it has
    eigenvalues between plus and minus :math:`e = s \sqrt{2 m}`. An eigenvalue w becomes
    :math:`w^5 / (w^4 + e^4)`, or 0 where it is negative, as no Gram matrix has such.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
        Overwritten.
    noise : float
    n_jobs : int or None
    """
    n_items = len(matrix)
    edge = noise * float(np.sqrt(2.0 * n_items))
    trace = float(np.trace(matrix, dtype=np.float64))
    n_entries = float(matrix.sum(dtype=np.float64))
    with lapack_threads(n_jobs, n_items):
        values, vectors = eigh(matrix, overwrite_a=True, check_finite=False, driver="evr")
    return Spectrum(faded(values, edge), vectors, trace, n_entries, edge, noise)


def faded(values: np.ndarray, edge: float) -> np.ndarray:
    """Return ``w**5 / (w**4 + edge**4)`` of positive eigenvalues, 0 of others: float32."""
    kept = np.maximum(values, 0.0).astype(np.float64)
    with np.errstate(divide="ignore"):
        found: np.ndarray = kept / (1.0 + (edge / kept) ** 4) if edge > 0 else kept
    return found.astype(np.float32)


def product(found: Spectrum, values: np.ndarray, n_jobs: int | None) -> np.ndarray:
    """Return the matrix of the same vectors and other values, none below 0; takes the vectors."""
    vectors = found.vectors
    np.multiply(vectors, np.sqrt(values), out=vectors)
    with lapack_threads(n_jobs, len(vectors)):
        matrix: np.ndarray = vectors @ vectors.T
    return matrix
