"""The list of checks: which apply to a model, and how they are run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ecomrec.base import BaseRecommender
from ecomrec.testing._answers import scores_of
from ecomrec.testing._exceptions import exceptions_for
from ecomrec.testing._logs import Traits, seeded, traits_of

_MODULES = (
    "_construction",
    "_fitting",
    "_input",
    "_recommending",
    "_filters",
    "_answering",
    "_similar",
    "_updating",
    "_forgetting",
    "_state",
    "_concurrency",
    "_private",
)

Run = Callable[[BaseRecommender], None]


def _always(traits: Traits) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """A named promise of the contract.

    Attributes
    ----------
    name : str
    run : callable
        Takes an unfitted model and raises if it breaks the promise.
    applies : callable
        Whether a model with some traits makes this promise.
    slow : bool
        Takes seconds.
    private : bool
        Private models, which know items only, make this promise too.
    """

    name: str
    run: Run
    applies: Callable[[Traits], bool]
    slow: bool
    private: bool

    def concerns(self, traits: Traits) -> bool:
        """Whether a model with some traits makes this promise."""
        return self.applies(traits) and (self.private or not traits.private)


CHECKS: dict[str, Check] = {}


def check(
    applies: Callable[[Traits], bool] = _always, *, slow: bool = False, private: bool = False
) -> Callable[[Run], Run]:
    """Enter a function into the list of checks."""

    def enter(run: Run) -> Run:
        @wraps(run)
        def within_units(model: BaseRecommender) -> None:
            with scores_of(model), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the noise of this model came from a seed")
                run(seeded(model))

        name = run.__name__
        CHECKS[name] = Check(name, within_units, applies, slow, private)
        return within_units

    return enter


_examples: list[int] = []


@contextmanager
def at_most(examples: int) -> Iterator[None]:
    """Let properties try so many examples, whatever the active Hypothesis profile says."""
    _examples.append(examples)
    try:
        yield
    finally:
        _examples.pop()


def for_all(
    holds: Callable[..., None], *given_by: st.SearchStrategy[Any], share: float = 1
) -> None:
    """Try a property on random arguments, one for each strategy; `share` of the usual number."""
    profile = settings()
    examples = _examples[-1] if _examples else profile.max_examples
    # A check of the kit may be run by any program: nothing is written beside it.
    quiet = settings(
        profile,
        max_examples=max(2, round(share * examples)),
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    quiet(given(*given_by)(holds))()


def all_checks() -> dict[str, Check]:
    """Every check of the kit by name, in the order of the contract."""
    for module in _MODULES:
        import_module(f"ecomrec.testing.{module}")
    return CHECKS


def checks_for(model: BaseRecommender, *, slow: bool = True) -> Iterator[tuple[str, Run]]:
    """Yield the checks that a model can be put through, for `pytest.mark.parametrize`.

    Which these are depends on what the model can do: one that predicts ratings, needs timestamps
    or does not explain its scores gets others; a private one is asked by histories only, with
    noise from a seed where answers are compared. Checks of properties try as many examples as the
    active Hypothesis profile says.

    Parameters
    ----------
    model : BaseRecommender
        Not fitted; it is never changed.
    slow : bool
        Also those that take seconds.

    Yields
    ------
    name : str
    check : callable
        Takes the model, returns None, and raises if a promise is broken.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.testing import checks_for
    >>> checks = dict(checks_for(Popularity()))
    >>> checks["check_unknown_user_is_named"](Popularity())
    """
    if not isinstance(model, BaseRecommender):
        raise TypeError(f"model must be an estimator of this library's kind; got {model!r}.")
    traits = traits_of(model)
    for name, entry in all_checks().items():
        if entry.concerns(traits) and (slow or not entry.slow):
            yield name, entry.run


def check_recommender(
    model: BaseRecommender,
    *,
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
    max_examples: int = 25,
) -> None:
    """Check that a recommender keeps every promise of the contract.

    The counterpart of scikit-learn's ``check_estimator`` for what a recommender does with users,
    items and events; run both. Takes 10 to 30 seconds. In a test suite, parametrise over
    `checks_for` instead, for a test each.

    Parameters
    ----------
    model : BaseRecommender
        Not fitted; it is never changed. Its class must be one that can be imported.
    include : collection of str, optional
        Names of the only checks to run.
    exclude : collection of str
        Names of checks to leave out, beside those that `exceptions_for` lists.
    max_examples : int
        Examples that each property is tried on.

    Raises
    ------
    AssertionError
        A promise is broken; the message starts with the name of the check.
    ValueError
        A name is none of a check that this model can be put through.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.testing import check_recommender
    >>> check_recommender(Popularity(), include=["check_pickle_keeps_answers"])
    """
    checks = dict(checks_for(model))
    unknown = (set(include or ()) | set(exclude)) - set(all_checks())
    if unknown:
        raise ValueError(f"no such checks: {sorted(unknown)}. See checks_for(model).")
    for name, run in checks.items():
        if name in exclude or (name not in include if include is not None else False):
            continue
        if include is None and name in exceptions_for(model):
            continue
        try:
            with at_most(max_examples):
                run(model)
        except Exception as error:
            raise AssertionError(f"{name} failed for {model!r}: {error}") from error
