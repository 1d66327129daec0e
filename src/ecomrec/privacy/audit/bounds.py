"""What attacks prove: lower bounds on mu and epsilon, with confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class EmpiricalMu:
    """A lower bound on mu from scores of fits with and without a user; of `empirical_mu`.

    Attributes
    ----------
    mu : float
        The fits are not mu-GDP for any smaller mu, at this confidence; at least 0.
    threshold : float
        Scores from here on are taken for fits with the user.
    false_positive_rate, false_negative_rate : float
        Upper ends of their intervals.
    confidence : float
    n_scores : int
        How many scores were judged: half of those given.

    Examples
    --------
    >>> from ecomrec.privacy import empirical_mu
    >>> bound = empirical_mu([5.0] * 200, [1.0] * 200)
    >>> bound.threshold, bound.n_scores, round(bound.mu, 1)
    (5.0, 200, 3.6)
    """

    mu: float
    threshold: float
    false_positive_rate: float
    false_negative_rate: float
    confidence: float
    n_scores: int


def empirical_mu(
    scores_with: Sequence[float] | np.ndarray,
    scores_without: Sequence[float] | np.ndarray,
    *,
    confidence: float = 0.95,
) -> EmpiricalMu:
    r"""Return the mu that an attack proves by telling fits with a user from fits without.

    .. math:: \mu_{LB} = \Phi^{-1}(1 - \overline{FPR}) - \Phi^{-1}(\overline{FNR})

    with Clopper-Pearson upper ends of both error rates, each at half of the risk. The threshold is
    chosen on every other score, and judged on the rest.

    Parameters
    ----------
    scores_with, scores_without : array-like of shape (n_fits,)
        What the attacker computes from each fit; larger where the user seems to be in. Fits are
        independent: scores in any order. Best are log-likelihood ratios (`privacy_losses`).
    confidence : float
        At which the bound holds.

    Returns
    -------
    EmpiricalMu

    Notes
    -----
    A private fit that claims `mu` gets a larger bound with probability at most
    ``1 - confidence``. With 1,000 fits a side noise that is half of what it should be is always
    found at mu 1, and noise that lacks a tenth hardly ever: a bound below the claim is no proof.
    The method is that of [1]_.

    References
    ----------
    .. [1] Nasr, Hayes, Steinke, Balle, Tramèr, Jagielski, Carlini, Terzis: Tight auditing of
       differentially private machine learning. USENIX Security 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from ecomrec.privacy import empirical_mu
    >>> noise = np.random.default_rng(0).normal(size=(2, 2000))
    >>> bool(0.7 < empirical_mu(noise[0] + 1.0, noise[1]).mu < 1.0)
    True
    """
    present = check_scores(scores_with, "scores_with", at_least=4)
    absent = check_scores(scores_without, "scores_without", at_least=4)
    check_confidence(confidence)
    risk = (1.0 - confidence) / 2.0
    thresholds = np.unique(np.concatenate((present[::2], absent[::2])))
    chosen = int(np.argmax(_bounds(present[::2], absent[::2], thresholds, risk)[0]))
    threshold = thresholds[chosen : chosen + 1]
    mu, fpr, fnr = (float(v[0]) for v in _bounds(present[1::2], absent[1::2], threshold, risk))
    return EmpiricalMu(
        max(0.0, mu), float(threshold[0]), fpr, fnr, confidence,
        len(present[1::2]) + len(absent[1::2]),
    )  # fmt: skip


def _bounds(
    present: np.ndarray, absent: np.ndarray, thresholds: np.ndarray, risk: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bounds on mu, and upper ends of both error rates, by threshold."""
    missed = np.searchsorted(np.sort(present), thresholds, side="left")
    alarms = len(absent) - np.searchsorted(np.sort(absent), thresholds, side="left")
    fpr = upper_rate(alarms, len(absent), risk)
    fnr = upper_rate(missed, len(present), risk)
    return special.ndtri(1.0 - fpr) - special.ndtri(fnr), fpr, fnr


def upper_rate(successes: np.ndarray, n: int, risk: float) -> np.ndarray:
    """Clopper-Pearson upper ends: the true rate is above with probability at most `risk`."""
    successes = np.asarray(successes, dtype=np.float64)
    inner = np.minimum(successes, n - 1.0)
    found: np.ndarray = np.where(
        successes >= n, 1.0, special.betaincinv(inner + 1.0, n - inner, 1.0 - risk)
    )
    return found


def lower_rate(successes: np.ndarray, n: int, risk: float) -> np.ndarray:
    """Clopper-Pearson lower ends: the true rate is below with probability at most `risk`."""
    return 1.0 - upper_rate(n - np.asarray(successes), n, risk)


def one_run_epsilon(
    n_canaries: int,
    n_guesses: int,
    n_correct: int,
    *,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> float:
    r"""Return the epsilon that guesses about many canaries of a single fit prove.

    Each canary, a made-up user, is put in or left out by a fair coin; an attacker sees the fitted
    model and guesses for some of them. With m canaries, r guesses of which v are right, and
    :math:`q = e^\epsilon / (1 + e^\epsilon)`, an :math:`(\epsilon, \delta)`-private fit makes
    such a success with probability at most

    .. math:: \beta + 2 m \delta \alpha, \qquad \beta = P[Bin(r, q) \geq v], \quad
              \alpha = \max_{1 \leq i \leq v} \frac{P[v > Bin(r, q) \geq v - i]}{i}

    Parameters
    ----------
    n_canaries : int
        m, all of them, guessed at or not.
    n_guesses : int
        r.
    n_correct : int
        v.
    delta : float
    confidence : float

    Returns
    -------
    float
        The largest epsilon that is refuted at this confidence; 0 if none is.

    Notes
    -----
    The bound is that of [1]_. It has slack: 2,000 canaries prove about 1.7 of a true epsilon of
    4.4 at delta 1e-5. `empirical_mu` proves more, from many fits.

    References
    ----------
    .. [1] Steinke, Nasr, Jagielski: Privacy auditing with one (1) training run. NeurIPS 2023.

    Examples
    --------
    >>> from ecomrec.privacy import one_run_epsilon
    >>> round(one_run_epsilon(1000, 100, 100, delta=1e-6), 2)
    3.49
    >>> one_run_epsilon(1000, 100, 55)
    0.0
    """
    if not 0 <= n_correct <= n_guesses <= n_canaries or n_canaries < 1:
        raise ValueError(
            "the numbers must satisfy 0 <= n_correct <= n_guesses <= n_canaries; got "
            f"{n_correct}, {n_guesses} and {n_canaries}."
        )
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"delta must be at least 0 and below 1; got {delta!r}.")
    check_confidence(confidence)
    risk = 1.0 - confidence
    if _chance(n_canaries, n_guesses, n_correct, 0.0, delta) >= risk:
        return 0.0
    low, high = 0.0, 1.0
    while _chance(n_canaries, n_guesses, n_correct, high, delta) < risk:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        if _chance(n_canaries, n_guesses, n_correct, middle, delta) < risk:
            low = middle
        else:
            high = middle
    return low


def _chance(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """The most likely that an (epsilon, delta)-private fit lets an attacker be this right."""
    q = 1.0 / (1.0 + math.exp(-epsilon))
    # P[Bin(r, q) >= j] for j = 0 .. v; bdtrc(j - 1, r, q), which is 1 for j = 0.
    tails = np.ones(v + 1)
    if v:
        tails[1:] = special.bdtrc(np.arange(v), r, q)
    beta = float(tails[v])
    gains = (tails[:v][::-1] - beta) / np.arange(1, v + 1)
    alpha = float(gains.max()) if v else 0.0
    return min(1.0, beta + 2.0 * m * delta * alpha)


def check_scores(
    scores: Sequence[float] | np.ndarray, name: str, *, at_least: int = 1
) -> np.ndarray:
    """Return scores as float64, or say what is wrong with them."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) < at_least:
        raise ValueError(
            f"{name} must be at least {at_least} numbers in one dimension; got shape "
            f"{values.shape}."
        )
    if np.isnan(values).any():
        raise ValueError(f"{name} has {int(np.isnan(values).sum())} NaN.")
    return values


def check_confidence(confidence: float) -> None:
    """Refuse what is no confidence."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be between 0 and 1; got {confidence!r}.")
