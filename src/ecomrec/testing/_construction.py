"""Checks of constructors and of what a class says about itself."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.testing._checks import check
from ecomrec.testing._logs import shop_log, traits_of


@check(private=True)
def check_rules_cover_every_parameter(model: BaseRecommender) -> None:
    """There is a rule for each constructor parameter and for nothing else."""
    rules, params = set(type(model)._param_rules), set(model.get_params(deep=False))
    assert rules == params, (
        f"_param_rules lacks {sorted(params - rules)} and has {sorted(rules - params)} too many."
    )
    for name, rule in type(model)._param_rules.items():
        value = model.get_params(deep=False)[name]
        assert rule.accepts(value), f"{name}={value!r} breaks its own rule, {rule.words!r}."


@check(private=True)
def check_bad_value_is_named(model: BaseRecommender) -> None:
    """A bad value is refused in fit, not in the constructor, with class, name, rule and value."""
    log = shop_log(model)
    for name, rule in type(model)._param_rules.items():
        assert rule.bad, f"the rule of {name} names no value that it refuses."
        for value in rule.bad:
            bad = clone(model).set_params(**{name: value})
            with pytest.raises(ValueError, match=re.escape(name)) as raised:
                bad.fit(log.events, **log.sides)
            message = str(raised.value)
            for part in (type(model).__name__, name, rule.words, repr(value)):
                assert part in message, f"{name}={value!r}: {part!r} is not in {message!r}."
            assert not hasattr(bad, "item_ids_"), f"{name}={value!r} was refused after fitting."


@check(private=True)
def check_repr_rebuilds(model: BaseRecommender) -> None:
    """``eval(repr(model))`` makes a model with the same parameters."""
    text = repr(model)
    known = [model, *model.get_params(deep=True).values()]
    names = {type(value).__name__: type(value) for value in known}
    rebuilt = eval(text, {**names, "nan": np.nan, "inf": np.inf})
    assert type(rebuilt) is type(model), text
    theirs = rebuilt.get_params(deep=False)
    for name, value in model.get_params(deep=False).items():
        assert repr(theirs[name]) == repr(value), f"{name} is {theirs[name]!r} after {text}."


@check(private=True)
def check_defaults_suffice(model: BaseRecommender) -> None:
    """The class can be constructed without arguments (or as `_test_params` says) and fitted."""
    params: dict[str, Any] = getattr(type(model), "_test_params", dict)()
    plain = type(model)(**params)
    log = shop_log(plain)
    items, _ = log.fit(plain).recommend(**log.asking(plain, ["u1"]), k=2)
    assert items.shape == (1, 2)


@check(private=True)
def check_clone_is_unfitted_and_equal(model: BaseRecommender) -> None:
    """A clone has the same parameters, knows nothing, and shares nothing with the original."""
    log = shop_log(model)
    fitted = log.fit(model)
    copy = clone(fitted)
    assert not hasattr(copy, "item_ids_"), "a clone is fitted."
    assert repr(copy.get_params()) == repr(fitted.get_params())
    before = fitted.recommend(**log.asking(model, ["u1"]), k=3).items.tolist()
    shop_log(model, ids="int").fit(copy)
    after = fitted.recommend(**log.asking(model, ["u1"]), k=3).items.tolist()
    assert after == before, "fitting a clone had an effect."


@check(private=True)
def check_tuning_space_is_valid(model: BaseRecommender) -> None:
    """Every value of the search space for tuning is one that its parameter accepts."""
    for name, values in type(model).tuning_space.items():
        rule = type(model)._param_rules.get(name)
        assert rule is not None, f"tuning_space names {name!r}, which is no parameter."
        bad = [value for value in values if not rule.accepts(value)]
        assert not bad, f"tuning_space offers {bad} for {name}."


@check(private=True)
def check_fitted_attributes_are_documented(model: BaseRecommender) -> None:
    """Every ``name_`` of a fitted model is in the class docstring, and the reverse."""
    documented = _attributes(type(model))
    fitted = [shop_log(model).fit(model)]
    if traits_of(model).takes_matrix:
        fitted.append(clone(model).fit(np.eye(3) + 1))
    found = {
        name
        for one in fitted
        for name in dir(one)
        if name.endswith("_") and not name.startswith("_") and hasattr(one, name)
    }
    if not traits_of(model).takes_matrix:
        documented.discard("n_features_in_")
    assert found == documented, (
        f"the docstring of {type(model).__name__} lacks the attributes "
        f"{sorted(found - documented)} and describes {sorted(documented - found)}, which a fitted "
        "model has not."
    )


def _attributes(owner: type) -> set[str]:
    """Names in the Attributes section of a numpydoc docstring."""
    text = inspect.getdoc(owner) or ""
    _, _, section = text.partition("\nAttributes\n----------\n")
    section = re.split(r"\n\S[^\n]*\n-{3,}\n", section)[0]
    heads = re.findall(r"^(\w[\w, ]*?)(?: : .*)?$", section, flags=re.MULTILINE)
    return {name.strip() for head in heads for name in head.split(",")}
