"""Sentences that a shopper can read, from what `explain` says of a score."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ecomrec.data.catalog import as_catalog
from ecomrec.exceptions import DataError

__all__ = ["sentence"]

# By kind of reason; of items, by event where it is known. {reasons} is the names, or what else the
# table says. Kinds without a template are not told: means, biases, what models are called.
_TEMPLATES: dict[str, dict[str, str]] = {
    "en": {
        "sentence": "Because {reasons}.",
        "nothing": "Recommended for you.",
        "quoted": "“{reason}”",
        "comma": ", ",
        "and": " and ",
        "also": ", and ",
        "item": "you were interested in {reasons}",
        "purchase": "you bought {reasons}",
        "cart": "you put {reasons} in your basket",
        "view": "you looked at {reasons}",
        "unnamed item": "it is like things you were interested in",
        "word": "things you were interested in also mention {reasons}",
        "attribute": "it shares {reasons} with things you were interested in",
        "query": "you searched for {reasons}",
        "popularity": "it is popular",
        "factors": "it fits your taste",
        "neighbors": "it fits your taste",
        "friend": "friends of yours chose it",
        "place": "it is {reasons} away",
    },
    "zh": {
        "sentence": "因为{reasons}。",
        "nothing": "为您推荐。",
        "quoted": "“{reason}”",
        "comma": "、",
        "and": "和",
        "also": "，而且",  # noqa: RUF001
        "item": "您对{reasons}感兴趣",
        "purchase": "您购买过{reasons}",
        "cart": "您把{reasons}加入过购物车",
        "view": "您浏览过{reasons}",
        "unnamed item": "它与您感兴趣的商品相似",
        "word": "您感兴趣的商品也提到{reasons}",
        "attribute": "它与您感兴趣的商品有共同点：{reasons}",  # noqa: RUF001
        "query": "您搜索过{reasons}",
        "popularity": "它很受欢迎",
        "factors": "它符合您的口味",
        "neighbors": "它符合您的口味",
        "friend": "您的好友选择了它",
        "place": "它距离您{reasons}",
    },
}
# What holds a sentence together.
_FRAME = {"sentence", "nothing", "quoted", "comma", "and", "also"}
# Reasons that are figures, not names.
_BARE = {"place"}
_COLUMNS = ("kind", "reason", "contribution")
_TITLES = ("title", "name", "description")
# A reason of kind "query" is a word with the field that holds it: "red (description)".
_FIELD = re.compile(r" \([^()]*\)$")


def sentence(
    table: Any,
    *,
    language: str = "en",
    names: Any = None,
    events: Mapping[Any, str] | None = None,
    max_reasons: int = 2,
    templates: Mapping[str, str | None] | None = None,
) -> str:
    """Say in a sentence why an item is recommended, from what `explain` returned.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `kind`, `reason` and `contribution`. A reason that several parts of a composition
        give counts once, for the sum of its contributions.
    language : {"en", "zh"}
        English or Chinese.
    names : dict, pandas.Series, Catalog, items table or callable, optional
        The name of each item by its id. Of a catalogue or table the column `title`, `name` or
        `description` is read. An id without a name is never shown; ``names=str`` shows the ids.
    events : dict of id to str, optional
        What the shopper did with an item, so that the sentence says it: "purchase", "cart",
        "view", or what you have a template for.
    max_reasons : int
        Reasons to give at most, the strongest first.
    templates : dict of str to str or None, optional
        Your own words, by kind, in place of the built-in ones or beside them: for instance
        ``{"item": "you have {reasons}", "popularity": None}``. None: never told.

    Returns
    -------
    str
        Not escaped for HTML. What speaks against the item is no reason for it; where nothing can
        be told, the sentence is "Recommended for you.".

    Raises
    ------
    DataError
        `table` is not what `explain` returns, or the items table has no column of names.
    ValueError
        The language is unknown, or another argument is not valid.

    Notes
    -----
    Without a name, all items together are told as "it is like things you were interested in".
    Words and attributes are shown as they are in the items table; friends, groups of customers,
    and what parts of a composition are called are not shown. Templates may contain ``{reasons}``,
    in which case the reasons of that kind are named: be sure that shoppers may read them.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import ItemKNN
    >>> from ecomrec.explanations import sentence
    >>> events = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "ann", "bob", "bob", "bob", "cem"],
    ...         "item_id": ["sku1", "sku2", "sku1", "sku2", "sku3", "sku4"],
    ...     }
    ... )
    >>> table = ItemKNN(shrink=0).fit(events).explain("ann", "sku3")
    >>> sentence(table, names={"sku1": "Red mug", "sku2": "Green tea"})
    'Because you were interested in “Red mug” and “Green tea”.'
    >>> names, did = {"sku1": "红色马克杯"}, {"sku1": "purchase"}
    >>> sentence(table, names=names, events=did, language="zh")
    '因为您购买过“红色马克杯”。'
    """
    words = _words(language, templates)
    if not isinstance(max_reasons, (int, np.integer)) or max_reasons < 1:
        raise ValueError(f"max_reasons must be a positive integer; got {max_reasons!r}.")
    clauses: dict[str, list[str]] = {}
    for key, text in _told(table, words, _namer(names), events or {})[:max_reasons]:
        clauses.setdefault(key, []).extend([] if text is None else [text])
    if not clauses:
        return words["nothing"]
    told = []
    for key, texts in clauses.items():
        marks = "{reason}" if key in _BARE else words["quoted"]
        reasons = _listed([marks.replace("{reason}", text) for text in texts], words)
        told.append(words[key].replace("{reasons}", reasons))
    return words["sentence"].replace("{reasons}", words["also"].join(told))


def _told(
    table: Any,
    words: Mapping[str, str],
    name_of: Callable[[Any], str | None],
    events: Mapping[Any, str],
) -> list[tuple[str, str | None]]:
    """Template and text (None: the template says it all) of each reason, strongest first."""
    found: dict[tuple[str, str | None], None] = {}
    any_named = False
    for kind, reason in _reasons(table):
        key, text = kind, reason
        if kind == "item":
            text = name_of(reason)
            key = events.get(reason, kind) if text is not None else "unnamed item"
            key = key if key in words else kind
            any_named |= text is not None
        if key not in words:
            continue
        if "{reasons}" not in words[key]:
            found[key, None] = None
        elif text is not None:
            found[key, _FIELD.sub("", str(text)) if kind == "query" else str(text)] = None
    if any_named:
        found.pop(("unnamed item", None), None)  # it would say the same once more
    return list(found)


def _reasons(table: Any) -> list[tuple[str, Any]]:
    """Kind and reason (None: there is none) of what speaks for the item, strongest first."""
    columns = list(getattr(table, "columns", ()))
    if not set(_COLUMNS) <= set(columns):
        raise DataError(
            f"table must be what explain returns, with the columns {', '.join(_COLUMNS)}; got "
            f"{columns or type(table).__name__}."
        )
    sums: dict[tuple[str, Any], float] = {}
    for kind, reason, amount in zip(*(table[name].tolist() for name in _COLUMNS), strict=True):
        missing = reason is None or (isinstance(reason, float) and np.isnan(reason))
        entry = kind, None if missing else reason
        sums[entry] = sums.get(entry, 0.0) + amount
    positive = [entry for entry, amount in sums.items() if amount > 0]
    return sorted(positive, key=lambda entry: -sums[entry])


def _namer(names: Any) -> Callable[[Any], str | None]:
    """Return a function from the id of an item to its name, None if it has none."""
    import pandas as pd

    if names is None:
        return lambda item: None
    look_up: Callable[[Any], Any]
    if isinstance(names, (Mapping, pd.Series)):
        look_up = names.get
    elif callable(names):
        look_up = names
    else:
        catalog = as_catalog(names)
        field = next((one for one in _TITLES if one in catalog.columns), None)
        if field is None:
            raise DataError(
                f"names must have one of the columns {', '.join(_TITLES)}; got "
                f"{catalog.columns}. Pass a dict of ids and names otherwise."
            )

        def title(item: Any) -> Any:
            return catalog.texts(field, [item])[0]

        look_up = title

    def name_of(item: Any) -> str | None:
        name = None if item is None else look_up(item)
        return (str(name).strip() or None) if name is not None and name == name else None

    return name_of


def _words(language: str, templates: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the templates of a language with the caller's in place of them, but for None."""
    if language not in _TEMPLATES:
        raise ValueError(
            f"language must be one of {sorted(_TEMPLATES)}; got {language!r}. Pass templates= "
            "for another."
        )
    own = dict(templates or {})
    for key, value in own.items():
        if not isinstance(value, str) and (value is not None or key in _FRAME):
            raise ValueError(
                f"templates[{key!r}] must be a text{'' if key in _FRAME else ' or None'}; got "
                f"{value!r}."
            )
    return {key: text for key, text in {**_TEMPLATES[language], **own}.items() if text is not None}


def _listed(texts: list[str], words: Mapping[str, str]) -> str:
    """Return texts with commas between them and an "and" before the last."""
    head = words["comma"].join(texts[:-1])
    return words["and"].join([head, texts[-1]]) if head else "".join(texts)
