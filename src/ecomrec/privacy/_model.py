"""Private recommenders: what all of them read, book, release, report and refuse."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from ecomrec._lazy import computed_once
from ecomrec._validation import Rule, choice, integer
from ecomrec.base import BaseRecommender, SideTables, State, Unknown
from ecomrec.data.ids import IdMap, encode_ids, id_list
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.source import Source
from ecomrec.data.tables import ITEM, is_table, read_available
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy._budget import gaussians, refuse_tuning, report_of
from ecomrec.privacy._reading import read_private, sorted_rows
from ecomrec.privacy._releases import Releases
from ecomrec.privacy._test_users import metric_values, parse_metrics, read_test_users
from ecomrec.privacy.accounting.composition import PrivacyEvent
from ecomrec.privacy.accounting.ledger import PrivacyLedger
from ecomrec.privacy.accounting.report import PrivacyReport
from ecomrec.privacy.bounding import ContributionBounder, PrivateRows
from ecomrec.privacy.noise.samplers import SeededNoise, SystemNoise
from ecomrec.recommendations import Recommendations
from ecomrec.requests import SKIP

# Weights of a vocabulary and counts of users lie on this grid.
_GRID = 1 << 20
# A delta beyond this is no small probability in a shop of any size.
_LARGE_DELTA = 0.01
# Users times epsilon, over the root of the number of items, below which popularity does better.
_ENOUGH = 80.0

_NOT_COVERED = (
    "hyper-parameters, when they were chosen by looking at this data",
    "metrics computed on private users and shown, unless by DPMetrics",
    "recommendations shown to the user whose own history was given",
    "facts about groups: that people who buy A buy B",
    "users with several accounts: each account is a user",
    "what was done to the table before, where it depends on other users: weights, filters, fills",
    "time, memory and power that a fit takes, and errors about the table as a whole",
)


def _number(low: float, high: float, words: str, bad: tuple[Any, ...]) -> Rule:
    def accepts(value: Any) -> bool:
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return real and low < float(value) <= high

    return Rule(words, accepts, bad)


@dataclass(frozen=True, eq=False)
class PrivateState(State):
    """What a private model knows: no user, the catalogue, what was released, and the report."""

    report: PrivacyReport | None = None

    @computed_once
    def by_popularity(self) -> np.ndarray:
        """Items by what was released of their popularity, ties by row: int32 of (n_items,)."""
        popularity = getattr(self.learned, "popularity", None)
        if popularity is None:
            return np.arange(self.interactions.n_items, dtype=np.int32)
        return np.argsort(-popularity, kind="stable").astype(np.int32)


def _never(name: str, instead: str) -> Callable[[Any], bool]:
    """A condition that never holds, and says why."""

    def check(model: Any) -> bool:
        raise AttributeError(f"{type(model).__name__} is private and has no {name}: {instead}.")

    return check


class PrivateRecommender(BaseRecommender):
    """Base of recommenders with user-level differential privacy.

    The unit of privacy is one user with all their events; neighbouring data sets differ by adding
    or removing one user. What is learned is released through `Releases` alone, and no user is
    kept: recommendations are made from what was released and the history that the caller gives
    (joint differential privacy, Kearns et al. 2014).

    A subclass writes `_plan`, `_learn` and `_score`; see `ecomrec.privacy.DPPopularity`.
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "epsilon": _number(
            0.0, math.inf, "a number above 0, or inf", (0, -1, math.nan, "1", True)
        ),
        "delta": _number(0.0, 0.5, "a number above 0 and at most 0.5", (0, 1, math.nan, "1")),
        "max_items_per_user": integer(1, 2**31),
        "vocabulary": choice("public", "dp"),
        "noise": choice("rounded_gaussian", "discrete_gaussian"),
        "ledger": Rule(
            "None or a PrivacyLedger", lambda v: v is None or isinstance(v, PrivacyLedger), (1,)
        ),
        "noise_source": Rule(
            "None, SystemNoise() or SeededNoise(seed)",
            lambda v: v is None or isinstance(v, (SystemNoise, SeededNoise)),
            (0, "seed"),
        ),
        "tuning": choice("refused", "accounted"),
    }
    #: Whether the model needs so many users that popularity may do better.
    _advises: ClassVar[bool] = True
    epsilon: float
    delta: float
    max_items_per_user: int
    vocabulary: str
    noise: str
    ledger: PrivacyLedger | None
    noise_source: Any
    tuning: str

    # ------------------------------------------------------------------ hooks

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        """What will be released, from public parameters alone; see `_gaussians`."""
        raise NotImplementedError

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> Any:
        """Return the model's dataclass; rows are read only to make what `releases` releases."""
        raise NotImplementedError

    def _bounder(self) -> ContributionBounder | None:
        """How the rows of a user are bounded before `_learn` gets them."""
        return ContributionBounder(self.max_items_per_user)

    def _check_before(self, n_items: int) -> None:
        """Refuse what cannot be fitted, by the number of items, before anything is booked."""

    def _gaussians(
        self, relative: Mapping[str, float], counts: Mapping[str, int] | None = None
    ) -> dict[str, PrivacyEvent | None]:
        """Gaussian releases that spend epsilon in all.

        Parameters
        ----------
        relative : mapping of str to float
            Noise multipliers of the releases, up to one common factor.
        counts : mapping of str to int, optional
            How often each is made; once unless told.

        Returns
        -------
        dict of str to event
            With the count of users and the vocabulary where these are released too.
        """
        return gaussians(
            relative,
            counts or {},
            epsilon=self.epsilon,
            delta=self.delta,
            noise=self.noise,
            counts_users=self._counts_users(),
            vocabulary=self.vocabulary == "dp",
        )

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> Self:
        """Learn from events, once, spending epsilon; what was learned before is forgotten.

        What is released is booked in the ledger before any noise is drawn: a crash in the middle
        has been charged.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix
            As in every recommender. Rows that are incomplete, not finite or of items outside the
            catalogue count for nothing and raise no error, which would tell of one person.
        y : array-like of shape (n_rows,), optional
            Strength of each row of a table.
        items : table
            The catalogue with `item_id`; it is public. The columns of a matrix are public too.
            Needed unless ``vocabulary="dp"``: then just its other columns are read, of the items
            that were released, whether or not it lists them.
        users : table, optional
            Ignored: nothing is learned from attributes of users.

        Returns
        -------
        self

        Raises
        ------
        BudgetExceededError
            The ledger does not hold enough; nothing is spent then.
        """
        self._check_params()
        if y is not None and is_table(y):
            raise TypeError("y is a table. The catalogue is items: fit(events, items=catalog).")
        if not math.isinf(self.epsilon):
            refuse_tuning(type(self).__name__, self.tuning, self.ledger)
            self._check_delta()
        bounder = self._bounder()
        timed = bounder is not None and bounder.select == "recent"
        with self._lock:
            catalog, rows = read_private(X, y, items, vocabulary=self.vocabulary, timed=timed)
            matrix = not is_table(X) and not isinstance(X, Interactions)
            if matrix and 0 in (rows.n_users, len(catalog)):
                missing = "sample(s)" if rows.n_users == 0 else "feature(s)"
                raise DataError(
                    f"Found array with 0 {missing} (shape={(rows.n_users, len(catalog))}) while "
                    "a minimum of 1 is required: there is nothing to learn from."
                )
            if self.vocabulary == "public":
                self._check_before(len(catalog))
            self._state = self._released(catalog, rows, items, matrix)
        return self

    def _check_delta(self) -> None:
        """Warn where delta alone would let a fit tell of somebody."""
        n_users = getattr(self, "n_users", None)
        if self.delta > (_LARGE_DELTA if n_users is None else min(_LARGE_DELTA, 1 / n_users)):
            users = "the number of users" if n_users is None else f"{n_users} users"
            warnings.warn(
                f"delta is {self.delta:g}: with that probability the promise may fail altogether. "
                f"It should be well below 1 / {users}.",
                UserWarning,
                stacklevel=3,
            )

    def _fitted(self, source: Source, sides: SideTables) -> NoReturn:
        """Refuse to be a part: a composition holds the rows of all users."""
        raise TypeError(
            f"{type(self).__name__} is private and cannot be a part of a composition, which keeps "
            "the events of its users. Fit it alone, and merge its lists with others by hand."
        )

    def _released(
        self, catalog: IdMap, rows: PrivateRows, items: Any, matrix: bool
    ) -> PrivateState:
        """Book, release, learn and report."""
        source = (SystemNoise() if self.noise_source is None else self.noise_source).fresh()
        releases = Releases(
            self._plan(len(catalog) if self.vocabulary == "public" else 0),
            ledger=self.ledger,
            source=source,
            noise=self.noise,
            label=type(self).__name__,
        )
        if self.vocabulary == "dp":
            catalog, rows = self._own_vocabulary(catalog, rows, releases)
            self._check_before(len(catalog))
        advice = self._advice(rows, len(catalog), releases)
        bounder = self._bounder()
        bounded = rows if bounder is None else bounder(rows, key=releases.key)
        sides = SideTables(None, items)
        learned = self._learn(bounded, len(catalog), releases, sides, catalog)
        releases.finish()
        available = None if matrix else read_available(items, catalog, None)
        report = report_of(
            releases.events,
            self.delta,
            noise=self.noise,
            secure=bool(source.secure),
            counted=self.ledger is not None,
            not_covered=_NOT_COVERED + self._also_not_covered(),
            advice=advice,
        )
        return PrivateState(_nobody(catalog), learned, available, not matrix, report)

    def _own_vocabulary(
        self, ids: IdMap, rows: PrivateRows, releases: Releases
    ) -> tuple[IdMap, PrivateRows]:
        """Release which items enough users have, and keep the rows of these."""
        most = int(self.max_items_per_user)
        bounded = ContributionBounder(most)(rows, key=releases.key, names=_names(ids))
        weights = np.zeros(len(ids), dtype=np.int64)
        np.add.at(weights, bounded.items, bounded.integer_rows(_GRID))
        occurring = np.flatnonzero(weights > 0)
        kept = releases.union("vocabulary", ids.ids[occurring], weights[occurring], _GRID, most)
        if len(kept) == 0:
            raise DataError(
                "no item has enough users to be released; the fit was charged. Raise epsilon or "
                "delta, or say that the catalogue is public: vocabulary='public' with "
                "fit(events, items=catalog)."
            )
        _, found, kind = encode_ids(kept, ITEM)
        catalog = IdMap(found, kind)
        places = catalog.rows(ids.ids)[rows.items]
        return catalog, sorted_rows(rows.keep(places >= 0), places[places >= 0])

    def _counts_users(self) -> bool:
        """Whether the number of users is released, for the advice."""
        return self._advises and getattr(self, "n_users", None) is None

    def _advice(self, rows: PrivateRows, n_items: int, releases: Releases) -> str | None:
        """Say that popularity is expected to do better; None if not."""
        if not self._advises:
            return None
        n_users = getattr(self, "n_users", None)
        if n_users is None:
            counted = np.array([rows.n_users], dtype=np.int64) * _GRID
            n_users = max(0, round(int(releases.gaussian("n_users", counted, _GRID)[0]) / _GRID))
        value = n_users * self.epsilon / math.sqrt(n_items)
        if value >= _ENOUGH:
            return None
        return (
            f"users x epsilon / sqrt(items) is about {value:.0f}, below {_ENOUGH:.0f}: "
            "DPPopularity is expected to do better. Raise epsilon, merge shops or countries, or "
            "drop rare items."
        )

    def _also_not_covered(self) -> tuple[str, ...]:
        """What a model adds to the list of what its report does not cover."""
        return ()

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for histories; a private model knows no users.

        Parameters
        ----------
        users : None
            Anything else is a TypeError.
        k : int
            Items per row.
        history : list of sequences of item ids, or table
            What each visitor did, kept by the caller.
        candidates, exclude : list of ids, or list of lists, optional
            As in every recommender.
        exclude_seen : bool
            Leave out what is in the history.
        unknown : {"raise", "skip"}
            What happens to histories without any known item: an error, or an empty row.

        Returns
        -------
        Recommendations
        """
        if users is not None:
            self._no_users("recommend(users)", "recommend(history=...)")
        return super().recommend(
            None, k, history=history, candidates=candidates, exclude=exclude,
            exclude_seen=exclude_seen, unknown=unknown,
        )  # fmt: skip

    def forget(self, users: Any = None, items: Any = None) -> NoReturn:
        """Refuse: nothing of any single user is there to be taken out."""
        self._no_users("forget", "fit without them at the next release")

    def refresh(self) -> NoReturn:
        """Refuse: no events are there to learn from anew."""
        self._no_users("refresh", "fit, which the ledger is charged for")

    def similar_users(self, users: Any, k: int = 10, *, unknown: Unknown = "raise") -> NoReturn:
        """Refuse: there are no users."""
        self._no_users("similar_users", "similar_items")

    def has_seen(self, X: Any) -> NoReturn:
        """Refuse: there are no users."""
        self._no_users("has_seen", "the histories that you keep")

    def explain(self, user: Any = None, item: Any = None, *, history: Any = None) -> Any:
        """Return what made the score of one item for a history.

        Parameters
        ----------
        user : None
            Anything else is a TypeError.
        item : id
        history : sequence of item ids

        Returns
        -------
        pandas.DataFrame
            As in every recommender.
        """
        if user is not None:
            self._no_users("explain(user)", "explain(item=..., history=...)")
        self._check_listed([item])
        return super().explain(None, item, history=history)

    def _similar(self, ids: Any, k: int, unknown: Unknown, axis: str) -> Recommendations:
        if unknown == "raise":
            self._check_listed(id_list(ids, "items"), SKIP)
        return super()._similar(ids, k, unknown, axis)

    def _check_listed(self, items: Any, advice: str = "") -> None:
        """Refuse items outside the catalogue, and say how many, not which."""
        catalog = self._fitted_state().interactions.items
        missing = int(np.count_nonzero(catalog.rows(items) < 0))
        if missing:
            raise UnknownIdError(
                f"{missing} of {len(items)} items are not in the catalogue, whose ids are "
                f"{catalog.kind}. {advice}".rstrip()
            )

    def _no_users(self, what: str, instead: str) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} is private and holds no users, so {what} has nothing to work "
            f"on. Use {instead}."
        )

    @available_if(_never("predict", "scores come with recommend(history=...)"))
    def predict(self, X: Any) -> Any:
        """There is none: pairs name users, whom the model does not know."""

    @available_if(_never("partial_fit", "fit on everything, which the ledger is charged for"))
    def partial_fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> Any:
        """There is none: every batch is a release of its own."""

    def score(self, X: Any, y: Any = None) -> float:
        """Return NDCG@10 on held-out users: a part of each one's items found from the others.

        The newest fifth of a user's items, at least one, is hidden (without times: a fifth that
        the item numbers choose); users with one item are left out. The result is not private: use
        `DPMetrics` to show it.

        Parameters
        ----------
        X : table of events, Interactions, or users x items matrix
        y : ignored

        Returns
        -------
        float
            Mean over users; NaN if nobody has two known items.
        """
        state = self._fitted_state()
        if not is_table(X) and not isinstance(X, Interactions):
            self._check_width(state, X)
        catalog = state.interactions.items
        people = read_test_users(X, None, catalog, 0.2)
        if not people:
            return float("nan")
        return float(metric_values(self, catalog, people, parse_metrics("ndcg@10")).mean())

    # ------------------------------------------------------------------ files

    def _packed(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self.__sklearn_is_fitted__():
            report = self.privacy_report_
            if report.private and not report.secure_noise:
                warnings.warn(
                    "the noise of this model came from a seed: whoever knows it can take the "
                    "noise off. Fit with noise_source=None before you give the file away.",
                    UserWarning,
                    stacklevel=3,
                )
        if self.ledger is not None and self.ledger.path is None:
            warnings.warn(
                "the ledger of this model lives in the memory of this process and is not saved: "
                "fits of what is loaded from the file are not counted. Give the ledger a path.",
                UserWarning,
                stacklevel=3,
            )
        return super()._packed()

    def _packed_state(
        self, state: State, shared: Sequence[Interactions] = ()
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        manifest, arrays = super()._packed_state(state, shared)
        assert isinstance(state, PrivateState)
        assert state.report is not None
        return manifest | {"privacy_report": state.report.to_json()}, arrays

    def _restored_state(
        self,
        manifest: dict[str, Any],
        arrays: dict[str, np.ndarray],
        shared: Sequence[Interactions] = (),
    ) -> State:
        report = PrivacyReport.from_json(manifest["privacy_report"])
        plain = super()._restored_state(manifest, arrays, shared)
        return PrivateState(
            plain.interactions, plain.learned, plain.available, plain.from_table, report
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = False  # what is negative counts for nothing
        tags.non_deterministic = True
        return tags

    # ------------------------------------------------------------------ fitted attributes

    @property
    def user_ids_(self) -> np.ndarray:
        """There are none."""
        raise AttributeError(f"{type(self).__name__} is private: it knows no user_ids_.")

    @property
    def privacy_report_(self) -> PrivacyReport:
        """What the fit has spent, how, and what is not covered."""
        state = self._attribute("privacy_report_")
        assert isinstance(state, PrivateState)
        assert state.report is not None
        return state.report

    @property
    def advice_(self) -> str | None:
        """Whether popularity is expected to do better; None if not."""
        return self.privacy_report_.advice

    @property
    def popularity_(self) -> np.ndarray:
        """What was released of each item's popularity: float64 of shape (n_items,)."""
        state = self._attribute("popularity_")
        if getattr(state.learned, "popularity", None) is None:
            raise AttributeError(f"{type(self).__name__} releases no popularity_.")
        released: np.ndarray = state.learned.popularity.astype(np.float64)
        return released


def _names(ids: IdMap) -> np.ndarray:
    """A number for each id that does not depend on which other ids there are: uint64."""
    if ids.kind == "int":
        return ids.ids.astype(np.uint64)
    return np.array([_name(one) for one in ids.ids.tolist()], dtype=np.uint64)


def _name(one: Any) -> int:
    if isinstance(one, int):
        return one % 2**64
    return int.from_bytes(blake2b(repr(one).encode(), digest_size=8).digest(), "little")


def _nobody(catalog: IdMap) -> Interactions:
    """Interactions of no user with the items of a catalogue."""
    empty = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    return Interactions(
        IdMap(np.empty(0, dtype=np.int64)),
        IdMap(catalog.ids, catalog.kind),  # without what looking ids up has left behind
        RowStore.from_csr(np.zeros(1, dtype=np.int64), empty),
        listed_items=np.ones(len(catalog), dtype=bool),
    )
