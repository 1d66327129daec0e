"""Terms: words, codes and Chinese."""

# ruff: noqa: RUF001

import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from ecomrec.content import Tokenizer
from ecomrec.content._words import folded, normalized
from ecomrec.exceptions import DataError

# All of Unicode, lone surrogates included, with much of what shops write.
PIECES = [
    *"的包鞋女机器 .,'-&/x9",
    *("连衣裙", "收纳", "WD-40", "3.5mm", "men's", "T恤", "\u0301", "\u200d", "ﷺ", "\U0001f468"),
    *("ノート", "สวัสดี", "한국어", "Ё", "İ", "ß", "\ufe0f", "\x00", "1,000", "ǅ", "\u0345"),
]
TEXTS = st.one_of(
    st.text(), st.text(st.characters()), st.lists(st.sampled_from(PIECES)).map("".join)
)
TOKENIZERS = [
    Tokenizer(),
    Tokenizer(segmenter=None, ngram=(1, 2, 3), stop_words="english+chinese", fold=False),
]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("iPhone15 WD-40 XL 3.5mm USB-C A4", "iphone15 wd-40 xl 3.5mm usb-c a4"),
        ("Men's L'Oréal don’t", "mens loreal dont"),
        ("1,299.50 1,5 36,37 v2.0", "1299.50 1 5 36 37 v2.0"),
        ("red/blue heart-shaped 13-inch t-shirt", "red blue heart shaped 13 inch t-shirt"),
        ("h&m black&white u.s.a. end.Start no.5", "h&m black white usa end start no 5"),
        ("Lego™ ＦＵＬＬ　ｗｉｄｔｈ ﬁne ½ m²", "lego full width fine 1 2 m2"),
        ("Crème Brûlée Straße Ёлка Ørsted", "creme brulee strasse елка orsted"),
        ("soft\u00adware zero\u200bwidth WD\u201140", "software zero width wd-40"),
        ("👍🏽 good 1️⃣ 👨‍👩‍👧 _x_", "good 1 x"),
        ("हिन्दी العَرَبِيَّة 한국어", "हिन्दी العربية 한국어"),
        ("ノート", "ノー ート"),
        ("", ""),
        (" \t\x00 -- '' ...", ""),
    ],
)
def test_words_and_codes_are_found(text, terms):
    assert Tokenizer()(text) == terms.split()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("女士连衣裙XL", "女士 连衣裙 xl"),
        ("WD-40除锈剂400ml", "wd-40 除锈剂 400ml"),
        ("收纳包", "收纳 收纳包"),  # what follows a word and ends words is joined to it
        ("小丝巾", "小丝巾 丝巾"),  # what begins words is joined to the next one
        ("烘鞋器", "烘鞋器 烘鞋 鞋器"),
        ("男士T恤", "男士 t恤"),
        ("碗", "碗"),
    ],
)
def test_chinese_is_cut_into_words(text, terms):
    assert Tokenizer()(text) == terms.split()


def test_chinese_can_be_cut_into_pieces_of_given_lengths():
    assert Tokenizer(segmenter=None)("连衣裙 包") == ["连衣", "衣裙", "包"]
    assert Tokenizer(segmenter=None, ngram=[1, 3])("连衣裙") == ["连", "衣", "裙", "连衣裙"]


def test_jieba_cuts_chinese_and_nothing_else(caplog):
    pytest.importorskip("jieba", reason="jieba is not installed")
    terms = Tokenizer(segmenter="jieba")("iPhone15手机壳 女士连衣裙")
    assert terms == ["iphone15", "手机", "壳", "女士", "连衣裙"]
    assert not caplog.records


def test_traditional_characters_become_simplified():
    pytest.importorskip("opencc", reason="OpenCC is not installed")
    assert Tokenizer(simplify=True)("無線藍牙耳機") == Tokenizer()("无线蓝牙耳机")
    assert Tokenizer()("無線藍牙耳機") != Tokenizer()("无线蓝牙耳机")


def test_words_are_cut_to_their_stems():
    pytest.importorskip("snowballstemmer", reason="snowballstemmer is not installed")
    english = Tokenizer(stemmer="english")
    assert english("running shoes WD-40s 收纳") == ["run", "shoe", "wd-40s", "收纳"]
    assert Tokenizer(stemmer="german")("Häuser Straßen") == ["haus", "strass"]
    with pytest.raises(ValueError, match=r"stemmer must be one of arabic, .*; got 'klingon'"):
        Tokenizer(stemmer="klingon")("x")


@pytest.mark.parametrize(
    ("parameter", "module", "extra"),
    [
        ({"segmenter": "jieba"}, "jieba", "zh"),
        ({"simplify": True}, "opencc", "zh"),
        ({"stemmer": "english"}, "snowballstemmer", "stem"),
    ],
)
def test_missing_package_is_named_with_its_extra(parameter, module, extra, monkeypatch):
    from ecomrec.content import _words

    _words.analyzer.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"{module} is needed.*ecomrec\[{extra}\]"
    with pytest.raises(ImportError, match=message):
        Tokenizer(**parameter)("text")


def test_stop_words_are_left_out_and_join_nothing():
    both = Tokenizer(stop_words="english+chinese")
    assert both("the cup of tea 女士的包") == ["cup", "tea", "女士", "包"]
    assert Tokenizer(stop_words=["ＣＵＰ", "Tea"])("a cup of TEA") == ["a", "of"]
    assert Tokenizer(stop_words="english")("to be or not to be the") == ["not"]
    assert Tokenizer(stop_words="english")("") == []


def test_accents_can_stay():
    assert Tokenizer(fold=False)("Crème") == ["crème"]


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  "])
def test_missing_text_has_no_terms(missing):
    assert Tokenizer()(missing) == []


@pytest.mark.parametrize("value", [3, 2.5, b"tea", ["tea"]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(DataError, match=r"must be str or None; got .*astype\(str\)"):
        Tokenizer()(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, bad, id=f"{name}={bad!r}")
        for name, rule in Tokenizer._param_rules.items()
        for bad in rule.bad
    ],
)
def test_bad_parameter_is_named_when_used(name, value):
    tokenizer = Tokenizer(**{name: value})
    with pytest.raises(ValueError, match=f"Tokenizer: {name} must be "):
        tokenizer("tea")


def test_it_is_an_estimator_component():
    tokenizer = Tokenizer(ngram=[2, 3], stop_words=["tea"])
    copy = clone(tokenizer)
    assert copy.get_params() == tokenizer.get_params()
    assert repr(eval(repr(tokenizer))) == repr(tokenizer)
    vectorizer = TfidfVectorizer(analyzer=copy).fit(["tea cup", "手机壳 cup"])
    assert vectorizer.get_feature_names_out().tolist() == ["cup", "手机", "手机壳"]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(text=TEXTS)
def test_any_text_has_terms_that_hold_something(tokenizer, text):
    terms = tokenizer(text)
    for term in terms:
        assert term
        assert not any(c.isspace() for c in term)
        term.encode("utf-8")


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(first=TEXTS, second=TEXTS)
def test_a_space_cuts_and_nothing_reaches_over_it(tokenizer, first, second):
    assert tokenizer(first + " " + second) == tokenizer(first) + tokenizer(second)


@given(text=TEXTS)
def test_folding_twice_is_folding_once(text):
    once = normalized(text)
    assert normalized(once) == once
    bare = folded(once)
    assert folded(bare) == bare


@given(text=TEXTS)
def test_case_and_width_make_no_difference(text):
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert Tokenizer()(wide) == Tokenizer()(text)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "1,",
        "1.",
        "'",
        "a&",
        "的",
        "包",
        "连衣裙",
        "の",
        "1,000",
        "é",
        "\u0301",
        "-",
        "x.y",
        "/",
    ],
)
def test_long_texts_take_linear_time(piece):
    Tokenizer()("连衣裙 é")
    start = time.process_time()
    Tokenizer()(piece * (100_000 // len(piece)))
    assert time.process_time() - start < 3
    start = time.process_time()
    Tokenizer(segmenter=None)(piece * (100_000 // len(piece)))
    assert time.process_time() - start < 3


def test_word_list_has_a_licence_and_is_read_once():
    from importlib import resources

    from ecomrec.content._chinese import word_list

    assert word_list() is word_list()
    costs, leaning = word_list()
    assert costs["连衣裙"] > costs["女士"] > 0
    assert (leaning["器"], leaning["小"]) == (1, 2)
    folder = resources.files("ecomrec.content").joinpath("data")
    assert "MIT License" in folder.joinpath("chinese_words_LICENSE.md").read_text("utf-8")


def test_default_finds_marked_names_no_worse_than_jieba_and_bigrams(shared_data):
    jieba = pytest.importorskip("jieba", reason="jieba is not installed")
    titles = pd.read_parquet(shared_data / "taobao-titles-zh" / "titles.parquet")
    titles = titles[titles["split"] == "dev"]
    marks = [
        {normalized(m.partition(":")[2]) for m in listed.split("|") if not m.startswith("MISC")}
        for listed in titles["entities"].fillna("")
    ]

    def quality(terms_of):
        """Share of marks that are terms, of terms that are marks, and the same over all titles."""
        terms = [set(terms_of(title)) for title in titles["title"]]
        found = sum(len(t & m) for t, m in zip(terms, marks, strict=True))
        every_term, every_mark = set().union(*terms), set().union(*marks)
        return np.array(
            [
                found / sum(map(len, marks)),
                found / sum(map(len, terms)),
                len(every_term & every_mark) / len(every_term),
            ]
        )

    ours = quality(Tokenizer())
    assert np.all(ours >= quality(Tokenizer(segmenter=None)))
    assert np.all(ours >= quality(lambda t: [w for w in jieba.lcut(normalized(t)) if w.isalnum()]))
