"""Chinese runs cut into terms: by a word list, by character n-grams, or by jieba."""

from __future__ import annotations

import logging
import lzma
import warnings
from collections.abc import Callable, Set
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from ecomrec._optional import require

#: A character that the list lacks costs as much as a word that was counted once.
_UNKNOWN = 72
_ENDS, _BEGINS = 1, 2

Cut = Callable[[str], list[str]]


class WordList(NamedTuple):
    """Words of one to three characters with -log of how frequent they are, in quarters.

    `leaning` says of characters whether they rather end words (1) or begin them (2).
    """

    costs: dict[str, int]
    leaning: dict[str, int]


@lru_cache(maxsize=1)
def word_list() -> WordList:
    """Read the word list that ships with the package."""
    file = resources.files("ecomrec.content").joinpath("data", "chinese_words.xz")
    data = lzma.decompress(file.read_bytes())
    costs: dict[str, int] = {}
    leaning: dict[str, int] = {}
    start = 0
    for length in (1, 2, 3):
        n = int.from_bytes(data[start : start + 4], "little")
        start += 4
        text = data[start : start + 2 * n * length].decode("utf-16-le")
        start += 2 * n * length
        words = [text[i : i + length] for i in range(0, len(text), length)]
        costs.update(zip(words, data[start : start + n], strict=True))
        start += n
        if length == 1:
            leaning = {w: x for w, x in zip(words, data[start : start + n], strict=True) if x}
            start += n
    return WordList(costs, leaning)


def by_words(stop_words: Set[str]) -> Cut:
    """Return a function that gives the words of a run, and what the characters between make.

    A stop word of one character is joined to nothing.
    """

    def cut(run: str) -> list[str]:
        costs, leaning = word_list()
        groups = _groups(_segments(run, costs), stop_words)
        terms: list[str] = []
        for i in range(1, len(groups) - 1):
            group, is_free = groups[i]
            if not is_free:
                if group:
                    terms.append(group)
                continue
            before, after = groups[i - 1][0], groups[i + 1][0]
            size = len(group)
            if size == 1:
                leans = leaning.get(group)
                to_before = bool(before) and (leans != _BEGINS or not after)
                to_after = bool(after) and (leans != _ENDS or not before)
                if to_before:
                    terms.append(before + group)
                if to_after:
                    terms.append(group + after)
                if not to_before and not to_after:
                    terms.append(group)
                continue
            if size < 4:
                terms.append(group)
            if size > 2:
                terms += [group[k : k + 2] for k in range(size - 1)]
            elif before and leaning.get(group[0]) == _ENDS:
                terms.append(before + group[0])
        return terms

    return cut


def by_ngrams(sizes: tuple[int, ...]) -> Cut:
    """Return a function that gives all runs of so many characters; a shorter run whole."""
    shortest = min(sizes)

    def cut(run: str) -> list[str]:
        if len(run) <= shortest:
            return [run]
        return [run[k : k + n] for n in sizes for k in range(len(run) - n + 1)]

    return cut


def by_jieba() -> Cut:
    """Return jieba's own cut, in its default mode."""
    with warnings.catch_warnings():  # of its own packaging, which nobody here can change
        warnings.simplefilter("ignore")
        jieba: Any = require("jieba", "zh")
    logging.getLogger("jieba").setLevel(logging.WARNING)
    cut: Cut = jieba.lcut
    return cut


def simplifier() -> Callable[[str], str]:
    """Return a function that writes traditional characters as simplified ones."""
    convert: Callable[[str], str] = require("opencc", "zh").OpenCC("t2s").convert
    return convert


def _segments(run: str, costs: dict[str, int]) -> list[str]:
    """Cut a run where the sum of costs is least; of equal ones the one whose last word is longer.

    best(j) = min over i in {j-1, j-2, j-3} of best(i) + cost(run[i:j])
    """
    get = costs.get
    best1 = best2 = best3 = 0  # of the cuts that end one, two and three characters before
    steps = []
    for end in range(1, len(run) + 1):
        best = best1 + get(run[end - 1], _UNKNOWN)
        step = 1
        if end > 1:
            cost = get(run[end - 2 : end])
            if cost is not None and best2 + cost <= best:
                best = best2 + cost
                step = 2
            if end > 2:
                cost = get(run[end - 3 : end])
                if cost is not None and best3 + cost <= best:
                    best = best3 + cost
                    step = 3
        best1, best2, best3 = best, best1, best2
        steps.append(step)
    words = []
    end = len(run)
    while end:
        start = end - steps[end - 1]
        words.append(run[start:end])
        end = start
    words.reverse()
    return words


def _groups(words: list[str], stop_words: Set[str]) -> list[tuple[str, bool]]:
    """Put characters alone that stand side by side together: (text, whether it is such a group).

    Stop words of one character are empty, and so are the two ends.
    """
    groups = [("", False)]
    free = ""
    for word in words:
        if len(word) == 1 and word not in stop_words:
            free += word
            continue
        if free:
            groups.append((free, True))
            free = ""
        groups.append((word if len(word) > 1 else "", False))
    if free:
        groups.append((free, True))
    groups.append(("", False))
    return groups
