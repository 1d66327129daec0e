"""What `TwoStage` is asked: recommendations, scores, reasons, and what the ranker sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from ecomrec.base import BaseRecommender, Recommendations, Unknown
from ecomrec.data.ids import id_list
from ecomrec.data.tables import ITEM, USER
from ecomrec.exceptions import DataError
from ecomrec.hybrid._ranked_candidates import RankedCandidates, in_context
from ecomrec.hybrid._training import Ranking
from ecomrec.requests import raise_unknown

if TYPE_CHECKING:
    import pandas as pd


class AnswersInContext(RankedCandidates):
    """The public questions of `TwoStage`, each in a context where the model needs one."""

    min_positives: int

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        context: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for known users or for histories, in a context.

        Parameters
        ----------
        users : list of ids, optional
            Known users. With `history`, what it holds is added to theirs, for this call only.
        k : int
            Items per row.
        context : dict or table, optional
            What the columns named in `context` of the model are in this request: values for all
            rows, or one for each row.
        history : list of sequences of item ids, or table, optional
            What each anonymous visitor did.
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched.
        unknown : {"raise", "skip"}
            What happens to users never seen and to histories without any known item.

        Returns
        -------
        Recommendations

        Raises
        ------
        UnknownIdError
            Users that the model does not know, unless `unknown="skip"`.
        DataError
            The context is missing, or lacks a column.
        """
        with in_context(context):
            return super().recommend(
                users,
                k,
                history=history,
                candidates=candidates,
                exclude=exclude,
                exclude_seen=exclude_seen,
                unknown=unknown,
            )

    @available_if(BaseRecommender._fitted_on_table)
    def predict(self, X: Any, *, context: Any = None) -> np.ndarray:
        """Return the score of (user, item) pairs, whether a generator proposes them or not.

        Parameters
        ----------
        X : table with `user_id` and `item_id`, list of pairs, or array of shape (n, 2)
        context : dict or table, optional
            As in `recommend`, for all pairs or for each.

        Returns
        -------
        ndarray of shape (n,), float64
            NaN for an unknown user or item; 0 where no generator says anything.
        """
        with in_context(context):
            scores: np.ndarray = super().predict(X)
        return scores

    def explain(
        self, user: Any = None, item: Any = None, *, history: Any = None, context: Any = None
    ) -> Any:
        """Return what made the score of one item for one user.

        Parameters
        ----------
        user : id, optional
            A known user; or give `history`.
        item : id
        history : sequence of item ids, optional
            What an anonymous visitor did.
        context : dict or table, optional
            As in `recommend`.

        Returns
        -------
        pandas.DataFrame
            Columns `part`, `kind`, `reason` and `contribution`, largest first, which add up to
            the score. Kinds: "baseline", the score of a candidate with typical features;
            "feature", what one adds to it (a sampled Shapley value); and the kinds of the
            generators, over whose own reasons what their scores and places add is split.
        """
        with in_context(context):
            return super().explain(user, item, history=history)

    def features(self, users: Any, items: Any, *, context: Any = None) -> pd.DataFrame:
        """Return what the ranker gets to see of some users and items, and what it says.

        Parameters
        ----------
        users : list of ids
        items : list of ids
            Every item for every user.
        context : dict or table, optional
            As in `recommend`, for all rows or one for each user.

        Returns
        -------
        pandas.DataFrame
            Columns `user_id`, `item_id`, those of `feature_names_`, and `score`.

        Raises
        ------
        UnknownIdError
            A user or an item that the model does not know.
        """
        import pandas as pd

        state = self._fitted_state()
        keys, names = id_list(users, "users"), id_list(items, "items")
        _, query, known = self._ask(state, keys, None)
        columns = state.interactions.items.rows(names)
        for ids, found in ((keys, known), (names, columns >= 0)):
            if not found.all():
                raise_unknown(ids, found)
        self._freshen(state, query)
        own: Ranking = state.learned.own
        n, m = len(keys), len(names)
        parts = []
        for start, matrix, *_, scores in self._described(
            state, own.facts, query, self._coded(own, context, n), columns
        ):
            of_block = np.repeat(np.arange(start, start + len(matrix) // max(m, 1)), m)
            table = pd.DataFrame(matrix, columns=self.feature_names_)
            parts.append(table.assign(score=self._rates(own, matrix, scores)))
            parts[-1].insert(0, USER, [keys[row] for row in of_block.tolist()])
        table = pd.concat(parts, ignore_index=True)
        table.insert(1, ITEM, [name for _ in range(n) for name in names])
        return table

    def feature_importances(self) -> pd.DataFrame:
        """Return how much the ranker needs each feature.

        Returns
        -------
        pandas.DataFrame
            By feature, `importance`: how much of the area under the ROC curve is lost on the
            calibration users when the feature is shuffled among their candidates. Largest first.

        Raises
        ------
        DataError
            There is no ranker.
        """
        import pandas as pd

        own: Ranking = self._fitted_state().learned.own
        if own.learner is None:
            raise DataError(
                f"no ranker was learned: {own.n_positives} candidates were touched in the later "
                f"slice, and min_positives is {self.min_positives}. Fit on more events, raise "
                "later or n_candidates, or lower min_positives."
            )
        table = pd.DataFrame({"importance": own.importances}, index=self.feature_names_)
        return table.sort_values("importance", ascending=False, kind="stable")

    # ------------------------------------------------------------------ fitted attributes

    @property
    def ranker_(self) -> Any:
        """The ranker as it is asked, or None."""
        return self._attribute("ranker_").learned.own.learner

    @property
    def n_positives_(self) -> int:
        """How many candidates of the ranker's training were touched."""
        return int(self._attribute("n_positives_").learned.own.n_positives)

    @property
    def feature_names_(self) -> list[str]:
        """Columns that the ranker gets."""
        return self._names(self._attribute("feature_names_").learned.own)

    @property
    def held_out_users_(self) -> np.ndarray:
        """Ids of the users who taught neither ranker nor calibration."""
        state = self._attribute("held_out_users_")
        ids: np.ndarray = state.interactions.user_ids[state.learned.own.held_out]
        return ids
