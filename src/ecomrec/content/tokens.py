"""Words, numbers, model codes and Chinese from the texts of a shop."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from ecomrec._validation import Rule, boolean, check_params, choice, integer, text
from ecomrec.content._words import STOP_WORDS, Analyzer, analyzer
from ecomrec.exceptions import DataError

_SIZE = integer(1)
_NAMED = ", ".join(repr(name) for name in STOP_WORDS)


def _are_sizes(value: Any) -> bool:
    listed = isinstance(value, (tuple, list)) and len(value) > 0
    return listed and all(_SIZE.accepts(size) for size in value)


def _are_stop_words(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return value is None or value in STOP_WORDS
    listed = isinstance(value, (tuple, list, set, frozenset))
    return listed and all(isinstance(word, str) for word in value)


class Tokenizer(BaseEstimator):
    """Terms of a text: words, numbers, model codes, and Chinese without spaces.

    English, Chinese and most other scripts may stand in one column, in one title. It learns
    nothing, so a query, a new product and an old one are always cut alike.

    Parameters
    ----------
    segmenter : {"words", "jieba"} or None, default "words"
        How runs of Chinese are cut. "words": by a word list of two and three characters that
        ships with the package; characters that are left over are joined to a neighbour or to each
        other. "jieba": by jieba in its default mode (``pip install 'ecomrec[zh]'``). None: into
        overlapping pieces of ``ngram`` characters.
    ngram : sequence of int, default (2,)
        Lengths of the pieces of scripts that are written without spaces: Chinese where
        ``segmenter`` is None, and always kana, Thai, Lao, Khmer and Burmese.
    stop_words : None, "english", "chinese", "english+chinese" or list of str, default None
        Words that are left out. The two lists are short and hold no word that describes a product.
    stemmer : str, optional
        A language of the snowballstemmer package, as "english" or "german": words are cut to
        their stems. Codes, numbers and Chinese stay as they are (``pip install 'ecomrec[stem]'``).
    fold : bool, default True
        Letters lose their accents ("Crème" is "creme").
    simplify : bool, default False
        Traditional characters become simplified ones, by OpenCC (``pip install 'ecomrec[zh]'``).

    Notes
    -----
    Text is brought to Unicode's form NFKC, so full-width letters and digits are plain ones, and
    letters lose their case. Signs, emoji and control characters end a word and are dropped.

    A word is a run of letters and digits. Apostrophes within it vanish ("men's" is "mens"), and so
    do commas between groups of three digits. A point before a digit stays inside ("3.5mm"). A
    hyphen stays inside a code: where a part is a single letter ("usb-c"), or where a part has a
    digit and no part is a word of four letters or more ("wd-40"; "13-inch" are two terms). "&"
    stays between parts of one or two letters ("h&m"). Where Chinese meets letters or digits they
    are cut apart, but a letter alone belongs to the Chinese behind it ("t恤").

    Time and memory are linear in the length of the text: about 30 microseconds for a Chinese
    title of 30 characters, less for one of English words, which are looked up once they were seen.
    The word list takes 0.2 seconds and 30 MB when the first Chinese text comes.

    It is called with one text, so it can be the ``analyzer`` of scikit-learn's vectorisers. How
    well the terms fit the names of products is on the page :doc:`/content/text`.

    Examples
    --------
    >>> from ecomrec.content import Tokenizer
    >>> Tokenizer()("Men's WD-40 spray, 3.5mm jack; USB-C cable 1,000 pcs")
    ['mens', 'wd-40', 'spray', '3.5mm', 'jack', 'usb-c', 'cable', '1000', 'pcs']
    >>> Tokenizer()("iPhone15手机壳 女士连衣裙XL")
    ['iphone15', '手机', '手机壳', '女士', '连衣裙', 'xl']
    >>> Tokenizer(segmenter=None)("连衣裙")
    ['连衣', '衣裙']
    >>> Tokenizer(stop_words="english")("a cup of tea for the café")
    ['cup', 'tea', 'cafe']
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "segmenter": choice("words", "jieba", none=True),
        "ngram": Rule(
            "a tuple or list of integers of at least 1", _are_sizes, ((), (0,), 2, (1.5,), "2")
        ),
        "stop_words": Rule(
            f"None, one of {_NAMED}, or a list of str", _are_stop_words, ("klingon", 3, [1])
        ),
        "stemmer": text(none=True),
        "fold": boolean(),
        "simplify": boolean(),
    }

    def __init__(
        self,
        *,
        segmenter: str | None = "words",
        ngram: Sequence[int] = (2,),
        stop_words: str | Collection[str] | None = None,
        stemmer: str | None = None,
        fold: bool = True,
        simplify: bool = False,
    ) -> None:
        self.segmenter = segmenter
        self.ngram = ngram
        self.stop_words = stop_words
        self.stemmer = stemmer
        self.fold = fold
        self.simplify = simplify

    def __call__(self, text: str | None) -> list[str]:
        """Return the terms of a text in their order, with repetitions.

        Parameters
        ----------
        text : str or None
            None, NaN and "" have no terms.

        Returns
        -------
        list of str

        Raises
        ------
        DataError
            For anything else, such as a number.
        """
        if isinstance(text, str):
            return self.prepared()(text)
        if is_missing(text):
            return []
        raise DataError(
            f"a text must be str or None; got {text!r}, of type {type(text).__name__}. Convert "
            "numbers first, as in table['size'].astype(str)."
        )

    def prepared(self) -> Analyzer:
        """Return a function from a str to its terms, for many texts in a row.

        Returns
        -------
        callable
            It keeps to the parameters as they are now.

        Examples
        --------
        >>> from ecomrec.content import Tokenizer
        >>> terms_of = Tokenizer().prepared()
        >>> [len(terms_of(title)) for title in ("green tea", "WD-40")]
        [2, 1]
        """
        params = {name: getattr(self, name) for name in self._param_rules}
        check_params("Tokenizer", self._param_rules, params)
        stop_words = self.stop_words
        if stop_words is not None and not isinstance(stop_words, str):
            stop_words = frozenset(stop_words)
        return analyzer(
            self.segmenter,
            tuple(self.ngram),
            stop_words,
            self.stemmer,
            self.fold,
            self.simplify,
        )


def is_missing(value: Any) -> bool:
    """Whether a value stands for no text: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"
