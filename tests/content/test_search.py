import threading

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from sklearn.base import clone

import ecomrec
from ecomrec.content import Catalog, SearchIndex
from ecomrec.content._postings import letters_of, variants
from ecomrec.data.rows import RowStore
from ecomrec.exceptions import DataError, FileFormatError, UnknownIdError
from ecomrec.kernels import assemble, search
from ecomrec.testing.twins_search import is_one_edit, renumber_twin, weigh_twin

ITEMS = pd.DataFrame(
    {
        "item_id": ["bag1", "bag2", "mug", "tin", "drill", "none"],
        "title": ["Red lunch bag", "Blue lunch bag", "Red mug", "Cake tin", "Drill X-200", None],
        "description": ["for lunch, retro", "spotted", "red red red", None, "makita 18V", None],
        "brand": ["acme", "acme", "leaf", "leaf", None, None],
        "price": [6.0, 5.0, 4.0, np.nan, 90.0, 1.0],
        "tags": ["kids|school", "school", "kitchen", "kitchen", None, None],
    }
)
WORDS = ["red", "bag", "lunch", "retro", "mug", "tin", "iphone15", "wd-40", "blue"]


def ids(recs, row=0):
    return [i for i in recs.items[row].tolist() if i not in (None, -1)]


def same(one, other, queries):
    """The same hits and scores, whatever the row numbers."""
    k = max(len(one.item_ids_), len(other.item_ids_))
    for query in queries:
        found, expected = (
            dict(zip(ids(r), r.scores[0].tolist(), strict=False))
            for r in (one.search(query, k), other.search(query, k))
        )
        assert found.keys() == expected.keys()
        for item, score in found.items():
            assert score == pytest.approx(expected[item], rel=1e-5)


# ---------------------------------------------------------------------- scores


def test_score_is_that_of_the_paper():
    index = SearchIndex({"title": 2.0, "description": 1.0}, k1=1.5, b={"title": 0.5}).fit(ITEMS)
    items, scores = index.search("red retro")
    n, with_red, with_retro = 6, 2, 1
    idf = [np.log(1 + (n - df + 0.5) / (df + 0.5)) for df in (with_red, with_retro)]
    title = np.mean(
        [3, 3, 2, 2, 4]
    )  # "X-200" gives x-200, x200, 200 beside drill; x is one letter
    sizes = index._state.postings.averages
    title, description = sizes
    red = 2 / (0.5 + 0.5 * 3 / title)
    retro = 1 / (0.25 + 0.75 * 3 / description)
    bag1 = idf[0] * red / (1.5 + red) + idf[1] * retro / (1.5 + retro)
    red = 2 / (0.5 + 0.5 * 2 / title) + 3 / (0.25 + 0.75 * 3 / description)
    mug = idf[0] * red / (1.5 + red)
    assert items[0, :3].tolist() == ["bag1", "mug", None]
    assert scores[0, :2] == pytest.approx([bag1, mug], rel=1e-5)
    assert np.isnan(scores[0, 2])


def test_average_lengths_are_of_items_that_have_the_field():
    index = SearchIndex({"title": 5, "description": 1}, split_codes=False).fit(ITEMS)
    assert index._state.postings.averages == pytest.approx(
        [(3 + 3 + 2 + 2 + 2) / 5, (3 + 1 + 3 + 2) / 4]
    )


def test_explanation_adds_up_by_word_and_field():
    index = SearchIndex().fit(ITEMS)
    table = index.explain("red lunch bag acme", "bag1")
    score = index.search("red lunch bag acme", 1).scores[0, 0]
    assert table["contribution"].sum() == pytest.approx(score, rel=1e-5)
    assert set(table["word"]) == {"red", "lunch", "bag", "acme"}
    both = table[table["word"] == "lunch"].set_index("field")["contribution"]
    assert both["title"] > both["description"] > 0
    assert len(index.explain("kettle", "bag1")) == 0
    with pytest.raises(UnknownIdError, match="ids not seen in fit: \\['hat'\\]"):
        index.explain("red", "hat")


def test_repeated_words_of_a_query_count_again():
    index = SearchIndex().fit(ITEMS)
    one, two = index.search("tin"), index.search("tin tin")
    assert two.scores[0, 0] == pytest.approx(2 * one.scores[0, 0])


def test_several_queries_are_answered_as_each_alone():
    index = SearchIndex(typos=1, prefix=True).fit(ITEMS)
    asked = ["red lunch bag", "", "makita", None, "zzz", "lunhc"]
    together = index.search(asked, 4)
    for row, query in enumerate(asked):
        alone = index.search(query, 4)
        np.testing.assert_array_equal(together.items[row], alone.items[0])
        np.testing.assert_array_equal(together.scores[row], alone.scores[0])
    assert together.to_frame()["query"].unique().tolist() == ["red lunch bag", "makita", "lunhc"]


# ---------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("x-200", "drill"),
        ("X200", "drill"),
        ("18 v", "drill"),
        ("18v", "drill"),
        ("x 200", "drill"),
    ],
)
def test_model_codes_are_found_as_people_write_them(query, expected):
    assert ids(SearchIndex().fit(ITEMS).search(query, 1)) == [expected]


def test_chinese_and_english_share_a_column():
    titles = ["红色手机壳 iPhone15", "蓝色保温水杯", "red phone case", "手机"]
    index = SearchIndex().fit(pd.DataFrame({"item_id": list("abcd"), "title": titles}))
    assert ids(index.search("手机壳", 1)) == ["a"]
    assert ids(index.search("iphone 15", 1)) == ["a"]
    assert ids(index.search("水杯")) == ["b"]
    assert ids(index.search("case 手机壳"))[0] in ("a", "c")


def test_codes_stay_whole_if_told():
    index = SearchIndex(split_codes=False).fit(ITEMS)
    assert ids(index.search("200")) == []
    assert ids(index.search("x-200")) == ["drill"]


def test_variants_are_listed_once():
    assert variants("a-a") == ["a-a", "aa", "a"]
    assert variants("1,200.5") == ["1,200.5"]
    assert variants("hp-q6511x") == ["hp-q6511x", "hpq6511x", "hp", "q6511x", "6511"]


def test_prefix_completes_the_last_word():
    index = SearchIndex(prefix=True).fit(ITEMS)
    assert set(ids(index.search("lu"))) == {"bag1", "bag2"}
    assert ids(index.search("blue lu"))[0] == "bag2"
    assert ids(index.search("lu blue"))[0] == "bag2"
    assert ids(SearchIndex().fit(ITEMS).search("lu")) == []
    whole, part = index.search("lunch"), index.search("lunc")
    assert part.scores[0, 0] == pytest.approx(whole.scores[0, 0] / 2, rel=1e-5)


def test_typos_are_forgiven_in_words_nobody_has():
    index = SearchIndex(typos=1).fit(ITEMS)
    for wrong in ("lunhc", "luch", "lunsch", "lanch"):
        assert set(ids(index.search(wrong))) == {"bag1", "bag2"}
    assert ids(index.search("launsch")) == []
    assert ids(index.search("mog")) == []  # too short
    table = index.explain("lunhc", "bag1")
    assert set(table["term"]) == {"lunch"}
    assert set(table["word"]) == {"lunhc"}
    known = SearchIndex({"title": 1}, typos=1).fit(
        pd.DataFrame({"item_id": [1, 2], "title": ["lunch", "lunca"]})
    )
    assert known.search("lunch").items[0].tolist()[:2] == [1, -1]


def test_filters_narrow_the_answer():
    index = SearchIndex().fit(ITEMS)
    assert ids(index.search("red", where={"price": (None, 5)})) == ["mug"]
    assert set(ids(index.search("lunch", where={"brand": "acme", "tags": ["school"]}))) == {
        "bag1",
        "bag2",
    }
    assert ids(index.search("lunch", where={"tags": "kids"})) == ["bag1"]
    assert ids(index.search("tin", where={"price": (0, None)})) == []
    assert ids(index.search("lunch", candidates=["bag2", "hat"])) == ["bag2"]
    assert ids(index.search("lunch", exclude=["bag2"])) == ["bag1"]
    per_row = index.search(["lunch", "red"], 2, candidates=[["bag2"], ["mug"]])
    assert per_row.items[:, 0].tolist() == ["bag2", "mug"]
    with pytest.raises(DataError, match="this index has no filter 'colour'; it has"):
        index.search("red", where={"colour": "red"})
    with pytest.raises(DataError, match="brand holds no numbers"):
        index.search("red", where={"brand": (1, 2)})
    with pytest.raises(DataError, match="price holds numbers"):
        index.search("red", where={"price": "cheap"})


def test_filters_agree_with_the_catalogue():
    catalog = Catalog(ITEMS)
    index = SearchIndex().fit(catalog)
    everything = "red lunch bag blue mug cake tin drill"
    for where in (
        {"brand": ["acme", "leaf"]},
        {"price": (4, 6)},
        {"tags": "school"},
        {"price": 5},
    ):
        expected = set(catalog.where(**where))
        assert set(ids(index.search(everything, where=where))) == expected


def test_unavailable_items_are_never_found():
    shop = ITEMS.assign(available=[False, True, True, True, True, True])
    index = SearchIndex().fit(shop)
    assert ids(index.search("lunch")) == ["bag2"]
    index.add(pd.DataFrame({"item_id": ["bag1", "bag2"], "available": [True, False]}))
    assert ids(index.search("lunch")) == ["bag1"]


def test_a_row_ends_where_the_hits_end():
    recs = SearchIndex().fit(ITEMS).search("lunch", k=5)
    assert recs.items[0].tolist()[2:] == [None] * 3
    assert np.isnan(recs.scores[0, 2:]).all()
    assert len(recs.to_frame()) == 2


# ---------------------------------------------------------------------- updates


@st.composite
def tables(draw, low=1):
    numbers = draw(st.lists(st.integers(0, 9), min_size=low, max_size=8, unique=True))
    text = st.none() | st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
    return pd.DataFrame(
        {
            "item_id": numbers,
            "title": pd.Series([draw(text) for _ in numbers], dtype=object),
            "description": pd.Series([draw(text) for _ in numbers], dtype=object),
            "price": [draw(st.floats(0, 9)) for _ in numbers],
        }
    )


def fitted(table):
    return SearchIndex({"title": 5, "description": 1}, n_jobs=1).fit(table)


@given(tables(), tables())
def test_added_items_equal_a_fit_on_everything(first, second):
    index = fitted(first)
    before = index._state
    index.add(second)
    rest = first[~first["item_id"].isin(second["item_id"])]
    whole = fitted(pd.concat([rest, second]))
    # Rarities are exact at once; average lengths after a refresh.
    holders = dict(zip(index.vocabulary_, index._state.postings.found.lengths, strict=True))
    expected = dict(zip(whole.vocabulary_, whole._state.postings.found.lengths, strict=True))
    assert holders == expected
    index.refresh()
    same(index, whole, [*WORDS, "red bag 15"])
    for conditions in ({"price": (2, 7)},):
        for query in ("red", "bag"):
            assert set(index.search(query, where=conditions).items[0]) == set(
                whole.search(query, where=conditions).items[0]
            )
    old = SearchIndex({"title": 5, "description": 1})
    old._state = before
    same(old, fitted(first), WORDS)


@given(tables(low=2), st.data())
def test_removed_items_leave_no_trace(table, data):
    gone = data.draw(
        st.lists(st.sampled_from(table["item_id"].tolist()), unique=True, max_size=len(table) - 1)
    )
    index, before = fitted(table), fitted(table)
    index.remove(gone)
    rest = fitted(table[~table["item_id"].isin(gone)])
    assert index.item_ids_.tolist() == rest.item_ids_.tolist()
    assert index.vocabulary_.tolist() == rest.vocabulary_.tolist()
    index.refresh()
    for name in ("counts", "found"):
        ours, theirs = (getattr(i._state.postings, name).to_csr() for i in (index, rest))
        np.testing.assert_array_equal(ours[0], theirs[0])
        for one, other in zip(ours[1], theirs[1], strict=True):
            np.testing.assert_array_equal(one, other)
    same(before, fitted(table), WORDS)


def test_columns_that_a_batch_lacks_stay_as_they_are():
    index = SearchIndex().fit(ITEMS)
    index.add(pd.DataFrame({"item_id": ["bag1"], "title": ["Green satchel"]}))
    assert ids(index.search("retro")) == ["bag1"]
    assert ids(index.search("satchel")) == ["bag1"]
    assert ids(index.search("red")) == ["mug"]
    assert ids(index.search("satchel", where={"brand": "acme", "price": 6})) == ["bag1"]


def test_added_words_are_completed_and_corrected():
    index = SearchIndex(prefix=True, typos=1).fit(ITEMS)
    assert ids(index.search("umbr")) == []
    index.add(pd.DataFrame({"item_id": ["u"], "title": ["Umbrella"]}))
    assert ids(index.search("umbr")) == ["u"]
    assert ids(index.search("umbrela")) == ["u"]
    index.remove(["u"])
    assert ids(index.search("umbr")) == []


def test_adding_to_an_unfitted_index_fits_it():
    assert ids(SearchIndex().add(ITEMS).search("tin")) == ["tin"]


def test_removing_needs_known_items_and_leaves_some():
    index = SearchIndex().fit(ITEMS)
    with pytest.raises(UnknownIdError, match="hat"):
        index.remove(["bag1", "hat"])
    with pytest.raises(DataError, match="leave nothing to search"):
        index.remove(ITEMS["item_id"].tolist())
    with pytest.raises(DataError, match="item_id is int in the batch and str in the index"):
        index.add(pd.DataFrame({"item_id": [1], "title": ["x"]}))


def test_readers_see_whole_states():
    index = SearchIndex(n_jobs=1).fit(ITEMS)
    extra = pd.DataFrame({"item_id": ["bag3"], "title": ["lunch lunch lunch bag"]})
    seen, errors, stop = set(), [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                seen.add(frozenset(ids(index.search("lunch", 9))))
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(40):
        index.add(extra)
        index.remove(["bag3"])
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert seen <= {frozenset({"bag1", "bag2"}), frozenset({"bag1", "bag2", "bag3"})}


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("mmap", [False, True])
def test_saved_index_answers_as_before(tmp_path, mmap):
    path = tmp_path / "index.ecomrec"
    index = SearchIndex({"title": 3.0, "description": 1.0}, b={"title": 0.4}, typos=1, prefix=True)
    index.save(path)
    assert ecomrec.load(path).get_params() == index.get_params()
    index.fit(ITEMS.assign(available=[True, False, True, True, True, True])).save(path)
    again = ecomrec.load(path, verify=True, mmap=mmap)
    assert again.get_params() == index.get_params()
    for query in ("red lunch", "lunhc", "x-200", "ma"):
        for where in (None, {"price": (3, 100)}):
            one, other = index.search(query, where=where), again.search(query, where=where)
            np.testing.assert_array_equal(one.items, other.items)
            np.testing.assert_array_equal(one.scores, other.scores)
    again.add(pd.DataFrame({"item_id": ["new"], "title": ["New lunch box"]})).remove(["mug"])
    assert set(ids(again.search("lunch"))) == {"bag1", "new"}


def test_foreign_and_damaged_files_are_refused(tmp_path):
    from ecomrec import persistence
    from ecomrec.cf import Popularity

    path = tmp_path / "model.ecomrec"
    Popularity().save(path)
    with pytest.raises(FileFormatError, match="holds a Popularity, not a SearchIndex"):
        SearchIndex.load(path)
    SearchIndex().fit(ITEMS).save(path)
    manifest, arrays = persistence.read(path)
    for name, change in (
        ("postings.sizes", lambda a: a[:-1]),
        ("postings.found.0", lambda a: a + 100),
        ("postings.counts.0", lambda a: a - 100),
        ("postings.averages", lambda a: a[:0]),
        ("filters.held.0", lambda a: a + 100),
        ("filters.numbers", lambda a: a[:-1]),
    ):
        persistence.write(path, manifest, arrays | {name: change(arrays[name])})
        with pytest.raises(FileFormatError):
            SearchIndex.load(path)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "query",
    ["", " ", None, "?!", "the zzz", "🎁🎂", "x" * 100_000, float("nan"), "\ud800", "中文"],
)
def test_a_query_without_known_words_finds_nothing(query):
    recs = SearchIndex(prefix=True, typos=1).fit(ITEMS).search(query, 3)
    assert recs.items[0].tolist() == [None] * 3


def test_a_very_long_query_is_answered():
    index = SearchIndex(typos=1, prefix=True).fit(ITEMS)
    assert ids(index.search("red lunch bag " * 7000, 1)) == ["bag1"]
    assert ids(index.search("🎁red中文mug", 1)) in ([], ["mug"])


@pytest.mark.parametrize("query", [3, 2.5, b"red", ["red", 3], [["red"]], {"red": 1}])
def test_a_query_that_is_no_text_is_refused(query):
    with pytest.raises(DataError, match="a query must be a str"):
        SearchIndex().fit(ITEMS).search(query)


def test_tables_without_texts_are_refused():
    with pytest.raises(DataError, match="SearchIndex found none of the columns"):
        SearchIndex().fit(ITEMS[["item_id", "price"]])
    with pytest.raises(DataError, match=r"the columns \['colour'\], which the items table lacks"):
        SearchIndex({"title": 1, "colour": 1}).fit(ITEMS)
    with pytest.raises(DataError, match=r"price of item 'bag1' is 6\.0"):
        SearchIndex({"price": 1}).fit(ITEMS)
    with pytest.raises(DataError, match="no rows"):
        SearchIndex().fit(ITEMS[:0])
    with pytest.raises(DataError, match="item_id"):
        SearchIndex().fit(ITEMS.drop(columns="item_id"))
    with pytest.raises(Exception, match="not fitted"):
        SearchIndex().search("red")


@pytest.mark.parametrize("name", SearchIndex._param_rules)
def test_a_bad_parameter_is_named_in_fit(name):
    rule = SearchIndex._param_rules[name]
    assert rule.accepts(SearchIndex().get_params()[name])
    for value in rule.bad:
        with pytest.raises(ValueError, match=f"SearchIndex: {name} must be"):
            SearchIndex(**{name: value}).fit(ITEMS)


def test_items_without_any_text_can_be_indexed():
    table = pd.DataFrame({"item_id": [1, 2], "title": pd.Series([None, ""], dtype=object)})
    index = SearchIndex().fit(table)
    assert index.search("red").items[0, 0] == -1
    index.add(pd.DataFrame({"item_id": [2, 3], "title": ["red", "blue red"]}))
    assert set(index.search("red", 2).items[0].tolist()) == {2, 3}


def test_tables_of_any_kind_and_order_are_the_same_index():
    import polars as pl

    index = SearchIndex().fit(ITEMS)
    for other in (ITEMS[::-1], pl.from_pandas(ITEMS), Catalog(ITEMS)):
        one = clone(index).fit(other)
        np.testing.assert_array_equal(
            one.search("red lunch").items, index.search("red lunch").items
        )
        np.testing.assert_array_equal(
            one.search("red lunch").scores, index.search("red lunch").scores
        )


def test_attributes_tell_what_was_indexed():
    index = SearchIndex()
    with pytest.raises(AttributeError, match="exists after fit only"):
        index.item_ids_  # noqa: B018
    index.fit(ITEMS)
    assert index.fields_ == {"title": 5.0, "brand": 2.0, "tags": 2.0, "description": 1.0}
    assert index.item_ids_.tolist() == sorted(ITEMS["item_id"])
    assert "lunch" in index.vocabulary_


# ---------------------------------------------------------------------- kernels


@given(st.data())
def test_weights_of_words_equal_their_twin(data):
    n_fields = data.draw(st.integers(1, 3))
    keys = st.tuples(st.integers(0, 4), st.integers(0, n_fields - 1))
    rows = data.draw(st.lists(st.dictionaries(keys, st.integers(1, 5)), max_size=5))
    sizes = np.array([[data.draw(st.integers(1, 9)) for _ in range(n_fields)] for _ in rows])
    sizes = sizes.reshape(len(rows), n_fields).astype(np.float32)
    numbers = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    weights, b = ([data.draw(numbers) for _ in range(n_fields)] for _ in range(2))
    averages = [data.draw(st.floats(0.5, 3)) for _ in range(n_fields)]
    k1 = data.draw(st.floats(0.1, 3))
    flat = [sorted((t * n_fields + f, c) for (t, f), c in row.items()) for row in rows]
    indptr = assemble.offsets(np.array([len(row) for row in flat], dtype=np.int64))
    entries = [entry for row in flat for entry in row]
    store = RowStore.from_csr(
        indptr,
        (
            np.array([key for key, _ in entries], dtype=np.int32),
            np.array([count for _, count in entries], dtype=np.float32),
        ),
    )
    at, terms, values = search.weigh(store.arrays, sizes, weights, b, averages, k1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = weigh_twin(rows, sizes, weights, b, averages, k1)
    for row, found in enumerate(expected):
        mine = slice(at[row], at[row + 1])
        got = dict(zip(terms[mine].tolist(), values[mine].tolist(), strict=True))
        assert got.keys() == found.keys()
        assert list(got) == sorted(got)
        for term, value in got.items():
            assert value == pytest.approx(found[term], rel=1e-5, abs=1e-12)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 11), st.floats(0, 1, width=32)), max_size=5)),
    st.integers(1, 3),
    st.data(),
)
def test_renumbered_rows_equal_their_twin(rows, width, data):
    numbers = data.draw(st.lists(st.integers(-1, 5), min_size=12, max_size=12))
    indptr = assemble.offsets(np.array([len(row) for row in rows], dtype=np.int64))
    entries = [entry for row in rows for entry in row]
    store = RowStore.from_csr(
        indptr,
        (
            np.array([index for index, _ in entries], dtype=np.int32),
            np.array([value for _, value in entries], dtype=np.float32),
        ),
    )
    at, indices, values = search.renumber(store.arrays, np.array(numbers), width)
    for row, expected in enumerate(renumber_twin(rows, numbers, width)):
        mine = slice(at[row], at[row + 1])
        assert list(zip(indices[mine].tolist(), values[mine].tolist(), strict=True)) == expected


@given(st.text("ab1", max_size=5), st.lists(st.text("ab1", max_size=5), max_size=20))
def test_words_one_edit_away_equal_their_twin(word, others):
    letters = letters_of("".join(others))
    offsets = assemble.offsets(np.array([len(other) for other in others], dtype=np.int64))
    near = search.one_edit(letters_of(word), letters, offsets)
    expected = [i for i, other in enumerate(others) if is_one_edit(word, other)]
    assert near.tolist() == expected
    longer = search.prefixed(letters_of(word), letters, offsets)
    expected = [i for i, o in enumerate(others) if o.startswith(word) and o != word]
    assert longer.tolist() == expected


def test_one_and_two_threads_build_the_same_index():
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(300)])
    titles = [" ".join(words[(300 * rng.random(30) ** 2).astype(int)]) for _ in range(3000)]
    table = pd.DataFrame({"item_id": np.arange(3000), "title": titles})
    one, two = (SearchIndex(n_jobs=n).fit(table) for n in (1, 2))
    queries = titles[:200]
    for a, b in zip(one.search(queries), two.search(queries), strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------- quality


def test_matching_products_of_two_shops_are_found(shared_data):
    folder = shared_data / "match-walmart-amazon"
    left, right, pairs = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("left", "right", "pairs")
    )
    fields = ["title", "category", "brand", "modelno", "price"]
    for table in (left, right):
        table[fields] = table[fields].fillna("").astype(str)
    matches = pairs[pairs["label"] == 1].groupby("left_id")["right_id"].agg(set)
    queries = left.set_index("left_id").loc[matches.index, fields].agg(" ".join, axis=1)
    index = SearchIndex(dict.fromkeys(fields, 1.0)).fit(
        right.rename(columns={"right_id": "item_id"})
    )
    found = index.search(queries.tolist(), 10).items
    assert len(found) == 852
    ranks = [
        next((rank for rank, item in enumerate(row, 1) if item in good), np.inf)
        for row, good in zip(found.tolist(), matches, strict=True)
    ]
    assert np.mean(1 / np.array(ranks)) > 0.96
