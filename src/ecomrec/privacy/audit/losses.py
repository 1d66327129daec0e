"""The strongest attack on a whole fit: likelihood ratios of all that it released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from ecomrec.privacy.audit._recording import Call, Record, Replay, auditable
from ecomrec.privacy.audit.replay import difference
from ecomrec.privacy.noise.door import recorded
from ecomrec.privacy.noise.samplers import SeededNoise

Pair = tuple[Sequence[Call], Sequence[Call]]


def privacy_losses(
    estimator: Any,
    data: Any,
    neighbour: Any,
    n_fits: int = 1000,
    *,
    fit_params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Fit many times on both of two data sets, and compute from which each release seems to be.

    The score of a fit is the logarithm of how much more likely its releases :math:`y` are on
    `data` than on `neighbour`, for the exact statistics :math:`f, f'` of both. It is a sum over
    releases; for Gaussian noise

    .. math:: \frac{1}{\sigma^2} \Big\langle y - \frac{f + f'}{2},\; f - f' \Big\rangle

    and for a noisy top-k the ratio of two Plackett-Luce probabilities. No attacker who sees the
    fitted model can do better: the model is made from the releases. `empirical_mu` of the two
    arrays is therefore as large as an audit gets, and must not exceed the claim.

    Parameters
    ----------
    estimator : estimator
        Copies of it are fitted. They charge no ledger, and draw noise from seeds.
    data, neighbour : table, Interactions, or matrix
        With and without one user. The best audit has a user who contributes as much as is
        allowed.
    n_fits : int
        Fits on each of the two.
    fit_params : mapping, optional
        Further arguments of `fit`.
    seed : int
        Of the noise; a fit's own seed is made from it and the fit's number.

    Returns
    -------
    losses, losses_neighbour : ndarray of shape (n_fits,)
        Scores of the fits on `data` and on `neighbour`.

    Notes
    -----
    Statistics may depend on earlier releases (as in `DPALS`): with more than one release each fit
    is replayed on the other data set, which doubles the cost.

    Examples
    --------
    >>> from ecomrec.privacy import DPPopularity, empirical_mu, privacy_losses
    >>> shop = [[1, 0], [1, 1], [0, 1]]
    >>> model = DPPopularity(2.0)
    >>> bound = empirical_mu(*privacy_losses(model, shop, shop[1:], 200)).mu
    >>> bound <= model.fit(shop).privacy_report_.mu
    True
    """
    params = dict(fit_params or {})
    sides = data, neighbour
    scores = np.empty((2, n_fits))
    known: list[Pair | None] = [None, None]
    for side in (0, 1):
        for place in range(n_fits):
            noise = SeededNoise(_seed_of(seed, 2 * place + side))
            calls = _released(estimator, sides[side], params, noise, Record())
            pair = known[side]
            if pair is None or not _same_statistic(calls, pair[side]):
                other = _released(estimator, sides[1 - side], params, noise, Replay(calls))
                pair = known[side] = (calls, other) if side == 0 else (other, calls)
            outputs = [call.output for call in calls]
            scores[side, place] = sum(map(_log_ratio, *pair, outputs))
    return scores[0], scores[1]


def _same_statistic(one: Sequence[Call], other: Sequence[Call]) -> bool:
    """Whether two fits made one release each, of one statistic: a second may follow the first."""
    if len(one) != 1 or len(other) != 1:
        return False
    moved = difference(one[0].value, other[0].value)
    return moved is not None and not moved.any()


def _released(
    estimator: Any, data: Any, params: Mapping[str, Any], noise: Any, recorder: Record | Replay
) -> Sequence[Call]:
    with recorded(recorder):
        auditable(estimator, noise).fit(data, **params)
    return recorder.calls


def _log_ratio(here: Call, there: Call, output: Any) -> float:
    """How much more likely an output is by the statistic `here` than by that `there`."""
    params = here.params
    if "k" in params:
        scale = _noisy(here.name, params["scale"])
        one, other = (
            _log_chance(np.asarray(call.value) / scale, output) for call in (here, there)
        )
        return one - other
    if "sigma" not in params or "sample_rate" in params or isinstance(here.value, tuple):
        raise ValueError(f"{here.name}: releases of this kind have no likelihood ratio here.")
    sigma = _noisy(here.name, params["sigma"])
    moved = np.asarray(here.value - there.value, dtype=np.float64).ravel()
    # From the nearer end: the middle of two integers may be none.
    beyond = np.asarray(output - there.value, dtype=np.float64).ravel() - moved / 2.0
    return float(beyond @ moved) / sigma**2


def _noisy(name: str, scale: float) -> float:
    if not scale:
        raise ValueError(f"{name} was released without noise: there is nothing to audit.")
    return scale


def _log_chance(values: np.ndarray, order: np.ndarray) -> float:
    """Log-probability that these places come first, in this order, with unit Gumbel noise."""
    left = values.astype(np.float64).copy()
    total = 0.0
    for place in order.tolist():
        total += left[place] - float(special.logsumexp(left))
        left[place] = -np.inf
    return total


def _seed_of(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)
