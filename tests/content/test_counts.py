"""Texts as rows of counted terms."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.content import Tokenizer
from ecomrec.content._counts import count_terms
from ecomrec.data.ids import IdMap
from ecomrec.exceptions import DataError

EMPTY = IdMap(np.empty(0, dtype=object), "str")
TEXTS = st.lists(
    st.one_of(
        st.none(), st.lists(st.sampled_from(["tea", "cup", "mug", "包", "连衣裙"])).map(" ".join)
    )
)


def as_counters(vocabulary, indptr, terms, counts):
    words = vocabulary.ids[terms].tolist() if len(terms) else []
    return [dict(zip(words[a:b], counts[a:b].tolist(), strict=True)) for a, b in pairwise(indptr)]


def test_terms_are_counted_in_each_row():
    texts = ["tea cup tea", None, "", "cup", float("nan"), pd.NA]
    vocabulary, indptr, terms, counts = count_terms(texts, Tokenizer(), EMPTY, grow=True)
    assert vocabulary.ids.tolist() == ["cup", "tea"]
    assert indptr.tolist() == [0, 2, 2, 2, 3, 3, 3]
    assert terms.tolist() == [0, 1, 0]
    assert counts.tolist() == [1, 2, 1]
    assert [a.dtype.name for a in (indptr, terms, counts)] == ["int64", "int32", "float32"]


def test_new_terms_go_behind_the_ones_that_were_there():
    old, *_ = count_terms(["tea", "mug"], Tokenizer(), EMPTY, grow=True)
    new, _, terms, _ = count_terms(["cup tea", "ant"], Tokenizer(), old, grow=True)
    assert old.ids.tolist() == ["mug", "tea"]
    assert new.ids.tolist() == ["mug", "tea", "ant", "cup"]
    assert terms.tolist() == [1, 3, 2]
    same, _, terms, _ = count_terms(["pen tea"], Tokenizer(), new, grow=False)
    assert same is new
    assert terms.tolist() == [1]


def test_another_analyzer_may_stand_in():
    vocabulary, *_ = count_terms(["b a"], str.split, EMPTY, grow=True)
    assert vocabulary.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("value", [3, 2.5, b"x", ["tea"], True])
def test_what_is_no_text_is_named_with_its_row(value):
    with pytest.raises(DataError, match=r"text of item row 1 is .*, of type \w+"):
        count_terms(["tea", value], Tokenizer(), EMPTY, grow=True)


@given(texts=TEXTS)
def test_counts_equal_those_of_a_counter(texts):
    found = count_terms(texts, Tokenizer(), EMPTY, grow=True)
    assert as_counters(*found) == [dict(Counter(Tokenizer()(t) if t else [])) for t in texts]
    for a, b in pairwise(found[1]):
        assert np.all(np.diff(found[2][a:b]) > 0)


@given(texts=TEXTS, seed=st.integers(0, 9))
def test_order_of_rows_does_not_matter(texts, seed):
    order = np.random.default_rng(seed).permutation(len(texts))
    vocabulary, *found = count_terms(texts, Tokenizer(), EMPTY, grow=True)
    again, *shuffled = count_terms([texts[i] for i in order], Tokenizer(), EMPTY, grow=True)
    assert again.ids.tolist() == vocabulary.ids.tolist()
    rows = as_counters(vocabulary, *found)
    assert as_counters(again, *shuffled) == [rows[i] for i in order]


@given(first=TEXTS, second=TEXTS)
def test_rows_in_two_batches_hold_the_same_words(first, second):
    vocabulary, *one = count_terms(first, Tokenizer(), EMPTY, grow=True)
    longer, *two = count_terms(second, Tokenizer(), vocabulary, grow=True)
    at_once = count_terms(first + second, Tokenizer(), EMPTY, grow=True)
    assert as_counters(vocabulary, *one) + as_counters(longer, *two) == as_counters(*at_once)
