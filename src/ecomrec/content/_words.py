"""A text into terms: one pass over its pieces, each of them remembered."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Set
from functools import lru_cache
from itertools import chain
from typing import Any

from ecomrec._optional import require
from ecomrec.content import _chinese

Analyzer = Callable[[str], list[str]]

#: Function words only: whatever may describe a product ("top", "front", "five") is not here.
_ENGLISH = """a about also am an and any are as at be because been being but by can could did do
does doing for from had has have having he her hers him his how i if in into is it its itself just
me my nor of on or our ours shall she should so such than that the their theirs them then there
these they this those to too us very was we were what when where which while who whom why will
with would you your yours"""
_CHINESE = """的 了 和 与 及 或 在 是 等 之 而 且 也 都 就 又 很 以 为 于 其 这 那 我 你 他 她
它 们 吗 呢 吧 啊 把 被 让 给 对 从 向 到 由 并 但 如 则 个 我们 你们 他们 她们 它们 这个 那个
这些 那些 以及 或者 而且 但是 因为 所以 如果 可以 什么 怎么 哪些 一个 就是 还是"""

STOP_WORDS = {
    "english": frozenset(_ENGLISH.split()),
    "chinese": frozenset(_CHINESE.split()),
    "english+chinese": frozenset(_ENGLISH.split() + _CHINESE.split()),
}

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Kana, Thai, Lao, Burmese, Khmer: written without spaces, and not ours to cut into words.
_UNSPACED = (
    "\u3041-\u3096\u3099\u309a\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u31f0-\u31ff"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
)
# Marks that belong to the letter before them, which \w does not know.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963"
    "\u0981-\u09cd\u0a01-\u0a4d\u0a81-\u0acd\u0b01-\u0b57\u0b82-\u0bcd\u0c00-\u0c56\u0c81-\u0cd6"
    "\u0d00-\u0d57\u0d81-\u0df3\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f"
)
_LETTER = rf"[^\W_{_HAN}{_UNSPACED}]"
_REST = rf"(?:{_LETTER}|[{_MARKS}])*"

# Two classes never share a character with what may follow them, so no run is read twice.
_PIECES = re.compile(
    rf"((?:(?<!{_LETTER})[a-z](?=[{_HAN}]))?[{_HAN}]+)"
    rf"|([{_UNSPACED}]+)"
    rf"|({_LETTER}{_REST}(?:[.,'&/-]{_LETTER}{_REST})*)"
)

# NFKC would turn these signs into letters; they end a word.
_SIGNS = re.compile("[\u2120\u2122\xa9\xae]")
# Invisible characters vanish, other spellings of hyphen and apostrophe become the plain one.
_INVISIBLE = re.compile(
    "[\xad\u061c\u0640\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
)
_PLAINER = {
    ord(c): to
    for c, to in zip(
        "\u2010\u2011\u2212\u2018\u2019\u02bc\u2044\u2215\u200b", "---'''// ", strict=True
    )
}
_ODD = re.compile("[\u2010\u2011\u2212\u2018\u2019\u02bc\u2044\u2215\u200b]")

_ACCENTS = re.compile(
    "(?<=[a-z\u0370-\u03ff])[\u0300-\u036f]+|[\u0591-\u05c7\u064b-\u065f\u0670]+"
)
_PLAIN = str.maketrans("øłđðħ\u0131\u0451", "olddhi\u0435") | {
    ord(letter): two for letter, two in {"æ": "ae", "œ": "oe", "þ": "th"}.items()
}

# More is computed anew each time: long pieces are seldom seen twice.
_LONGEST_KEPT, _MOST_TERMS_KEPT, _MOST_KEPT = 40, 4, 1 << 17


@lru_cache(maxsize=16)
def analyzer(
    segmenter: str | None,
    ngram: tuple[int, ...],
    stop_words: str | frozenset[str] | None,
    stemmer: str | None,
    fold: bool,
    simplify: bool,
) -> Analyzer:
    """Return the function that these parameters of `Tokenizer` stand for."""
    named = STOP_WORDS[stop_words] if isinstance(stop_words, str) else stop_words or ()
    left_out = frozenset(map(normalized, named))
    if segmenter == "words":
        cut_han = _chinese.by_words(left_out)
    else:
        cut_han = _chinese.by_jieba() if segmenter == "jieba" else _chinese.by_ngrams(ngram)
    look_up = _Pieces(
        cut_han,
        _chinese.by_ngrams(ngram),
        left_out,
        None if stemmer is None else _stem_of(stemmer),
        fold,
        _chinese.simplifier() if simplify else None,
    ).__getitem__

    def terms_of(text: str) -> list[str]:
        return list(chain.from_iterable(map(look_up, text.split())))

    return terms_of


def normalized(text: str) -> str:
    """Return a text in one spelling of each character, without case (NFKC_Casefold, nearly)."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", _SIGNS.sub(" ", text))
    text = _INVISIBLE.sub("", text)
    if _ODD.search(text):
        text = text.translate(_PLAINER)
    return unicodedata.normalize("NFKC", text.casefold())


def folded(word: str) -> str:
    """Return a normalized word without accents and vowel points."""
    if word.isascii():
        return word
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", word.translate(_PLAIN)))
    return unicodedata.normalize("NFC", bare)


class _Pieces(dict[str, tuple[str, ...]]):
    """What stands between spaces, and its terms; computed when first asked for."""

    def __init__(
        self,
        cut_han: _chinese.Cut,
        cut_unspaced: _chinese.Cut,
        stop_words: Set[str],
        stem: Callable[[str], str] | None,
        fold: bool,
        simplify: Callable[[str], str] | None,
    ) -> None:
        super().__init__()
        self.cut_han = cut_han
        self.cut_unspaced = cut_unspaced
        self.stop_words = stop_words
        self.stem = stem
        self.fold = fold
        self.simplify = simplify

    def __missing__(self, piece: str) -> tuple[str, ...]:
        terms = tuple(self._terms(piece))
        short = len(piece) <= _LONGEST_KEPT and len(terms) <= _MOST_TERMS_KEPT
        if short and len(self) < _MOST_KEPT:
            self[piece] = terms
        return terms

    def _terms(self, piece: str) -> list[str]:
        text = normalized(piece)
        if text.isascii() and text.isalnum() and self.stem is None and not self.stop_words:
            return [text]
        if self.simplify is not None and not text.isascii():
            text = self.simplify(text)
        terms: list[str] = []
        for han, unspaced, word in _PIECES.findall(text):
            if word:
                terms += self._plain(word)
            elif han:
                terms += self.cut_han(han)
            else:
                terms += self.cut_unspaced(unspaced)
        if self.stop_words:
            return [term for term in terms if term not in self.stop_words]
        return terms

    def _plain(self, word: str) -> list[str]:
        """Return the terms of letters and digits, with signs between them."""
        parts = [word] if word.isalnum() else _parts(word)
        if self.stem is not None:
            parts = [
                self.stem(p) if p.isalpha() and p not in self.stop_words else p for p in parts
            ]
        return [folded(part) for part in parts] if self.fold and not word.isascii() else parts


_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_ACRONYM = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_ENDS_PART = re.compile(r"[,/]|\.(?!\d)|(?<![\d])(?<!\b[^\W\d_])\.")


def _parts(word: str) -> list[str]:
    """Split what is joined by signs, except codes, decimals and short names.

    >>> _parts("women's"), _parts("1,299.50"), _parts("wd-40"), _parts("red/blue-ish")
    (['womens'], ['1299.50'], ['wd-40'], ['red', 'blue', 'ish'])
    """
    word = word.replace("'", "")
    if "," in word:
        word = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), word)
    if _ACRONYM.fullmatch(word):
        return [word.replace(".", "")]
    parts: list[str] = []
    for part in _ENDS_PART.split(word):
        if "&" in part:
            names = part.split("&")
            if max(map(len, names)) > 2:
                parts += chain.from_iterable(map(_hyphened, names))
                continue
        parts += _hyphened(part)
    return parts


def _hyphened(word: str) -> list[str]:
    """Split at hyphens unless it is a code."""
    if "-" not in word:
        return [word] if word else []
    parts = [part for part in word.split("-") if part]
    if any(len(part) == 1 and part.isalpha() for part in parts):
        return [word]
    has_digit = any(not part.isalpha() for part in parts)
    return [word] if has_digit and not any(p.isalpha() and len(p) > 3 for p in parts) else parts


def _stem_of(language: str) -> Callable[[str], str]:
    """Return a stemmer of its own for each word: those of the package are not for threads."""
    snowball: Any = require("snowballstemmer", "stem")
    if language not in snowball.algorithms():
        raise ValueError(
            f"Tokenizer: stemmer must be one of {', '.join(sorted(snowball.algorithms()))}; got "
            f"{language!r}."
        )
    return lambda word: str(snowball.stemmer(language).stemWord(word))
