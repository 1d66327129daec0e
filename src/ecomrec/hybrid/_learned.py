"""Composites that learn, beside their parts, an estimator of another library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ecomrec.base import BaseRecommender, Explained, Query, State
from ecomrec.composite import CompositeRecommender, Named, reasons_of
from ecomrec.data.interactions import Interactions
from ecomrec.exceptions import FileFormatError
from ecomrec.persistence.learners import pack_learner, refuse_learner, unpack_learner

_LEARNER = "own.learner."


class LearningComposite(CompositeRecommender):
    """Base of `TwoStage` and `Stacking`: what they learn has a field `learner`, which may be None.

    That field is saved by `ecomrec.persistence.learners`; the dataclass checks itself in its
    method ``check(shop, n_parts)`` when it comes out of a file.
    """

    _reads_scores: ClassVar[bool] = True

    def _check_params(self) -> None:
        super()._check_params()
        refuse_prefit(self._parts(), type(self).__name__)

    def _blocks(self, state: State, query: Query) -> list[np.ndarray]:
        """Scores of each part for the rows of a query: (n, n_items), NaN without evidence."""
        return [
            part._score(part._state, self._asked_of(state, number, query))
            for number, part in enumerate(state.learned.parts)
        ]

    def _with_reasons(
        self, state: State, query: Query, item: int, given: Explained
    ) -> tuple[list[str], list[Any], np.ndarray, list[str]]:
        """What features of parts add to a score, split over the reasons that the parts name.

        In proportion, where both are positive; what no part explains stays as it is.
        """
        kinds, reasons, amounts, owners = (list(column) for column in given)
        for number, (name, _) in enumerate(self._parts()):
            mine = [at for at, owner in enumerate(owners) if owner == name]
            total = sum(amounts[at] for at in mine)
            part = state.learned.parts[number]
            if total <= 0 or type(part)._explain is BaseRecommender._explain:
                continue
            asked = self._asked_of(state, number, query)
            found = reasons_of(name, part, asked, item, float(total))
            if not found[0]:
                continue
            for at in reversed(mine):
                del kinds[at], reasons[at], amounts[at], owners[at]
            kinds += found[0]
            reasons += found[1]
            amounts += found[2].tolist()
            owners += found[3]
        return kinds, reasons, np.array(amounts, dtype=np.float64), owners

    def _packed(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        learner = self._learner()
        if learner is not None:
            refuse_learner(learner)
        return super()._packed()

    def _learner(self) -> Any:
        """The parameter that says what learns, or None."""
        raise NotImplementedError

    def _packed_own(self, own: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        manifest, arrays = super()._packed_own(replace(own, learner=None))
        if own.learner is not None:
            manifest["learner"], parts = pack_learner(own.learner)
            arrays |= {f"{_LEARNER}{name}": values for name, values in parts.items()}
        return manifest, arrays

    def _restored_own(
        self, manifest: dict[str, Any], arrays: dict[str, np.ndarray], shop: Interactions
    ) -> Any:
        own = super()._restored_own(manifest, arrays, shop)
        if "learner" in manifest:
            parts = {
                name.removeprefix(_LEARNER): values
                for name, values in arrays.items()
                if name.startswith(_LEARNER)
            }
            own = replace(own, learner=unpack_learner(manifest["learner"], parts))
        names = [name for name, _ in self._parts()]
        if not own.fits(shop, names, self):
            raise FileFormatError("what was learned does not fit the parts; the file is damaged.")
        return own


def refuse_prefit(parts: Named, owner: str) -> None:
    """Raise for a part, or one inside it, whose model saw what its owner learns from."""
    for name, part in parts:
        inside = {f"{name}__{key}": value for key, value in part.get_params().items()}
        for path, one in {name: part, **inside}.items():
            if isinstance(one, BaseRecommender) and getattr(one, "prefit", False):
                raise ValueError(
                    f"{owner} fits its parts on some of the events and learns from the others; "
                    f"{path!r} is an {type(one).__name__} with prefit=True, whose model has seen "
                    "them all. Set prefit=False, or put the parts together without learning: "
                    "RankFusion, or Blend with weights of your own and normalize='zscore' or "
                    "'rank'."
                )
