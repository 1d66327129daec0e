"""Catalogues: cells by id, filters, updates, tables of every library."""

import pickle

import numpy as np
import pandas as pd
import pytest

from ecomrec.content import Catalog
from ecomrec.data.tables import is_table
from ecomrec.exceptions import DataError

TABLE = pd.DataFrame(
    {
        "item_id": ["mug", "tea", "pot", "pen"],
        "title": ["Red mug", "Green tea", None, ""],
        "brand": pd.Categorical(["Acme", "Leaf", "Acme", None]),
        "price": [5.0, 3.0, np.nan, 1.5],
        "tags": ["red|kitchen", "drink; green", None, "office"],
        "available": [True, True, False, True],
    }
)


@pytest.fixture
def catalog():
    return Catalog(TABLE)


def converted(kind):
    if kind == "pandas":
        return TABLE
    pytest.importorskip("pyarrow")
    if kind == "arrow":
        import pyarrow as pa

        return pa.Table.from_pandas(TABLE, preserve_index=False)
    if kind == "nullable":
        return TABLE.convert_dtypes()
    return pytest.importorskip("polars").from_pandas(TABLE)


@pytest.mark.parametrize("kind", ["pandas", "nullable", "polars", "arrow"])
def test_every_table_library_gives_the_same_catalogue(kind):
    catalog = Catalog(converted(kind))
    assert catalog.ids.tolist() == ["mug", "tea", "pot", "pen"]
    assert catalog.texts("title") == ["Red mug", "Green tea", None, ""]
    assert catalog.texts("brand", ["pot", "?", "pen"]) == ["Acme", None, None]
    assert catalog.column("price").tolist() == [5.0, 3.0, None, 1.5]
    assert catalog.available() == ["mug", "tea", "pen"]
    assert catalog.where(price=(2, 5)) == ["mug", "tea"]
    assert catalog.where(tags="green") == ["tea"]
    grown = catalog.update(pd.DataFrame({"item_id": ["tea", "cup"], "price": [4.0, 2.0]}))
    assert grown.column("price").tolist() == [5.0, 4.0, None, 1.5, 2.0]
    assert catalog.without(["mug", "nothing"]).ids.tolist() == ["tea", "pot", "pen"]


def test_conditions_hold_together(catalog):
    assert catalog.where(brand="Acme") == ["mug", "pot"]
    assert catalog.where(brand=["Acme", "Leaf"], price=(None, 4)) == ["tea"]
    assert catalog.where(brand="Acme", available=True) == ["mug"]
    assert catalog.where(tags=["red", "office"]) == ["mug", "pen"]
    assert catalog.where() == catalog.ids.tolist()
    assert catalog.where(brand="Nobody") == []
    assert catalog.where(brand=np.array(["Leaf"])) == ["tea"]
    assert catalog.where(brand=pd.Series(["Leaf"])) == ["tea"]


def test_conditions_that_cannot_be_meant_are_refused(catalog):
    with pytest.raises(DataError, match="has no column 'colour'; it has"):
        catalog.where(colour="red")
    with pytest.raises(DataError, match="a range has two ends"):
        catalog.where(price=(1, 2, 3))
    with pytest.raises(DataError, match=r"cannot be compared.*go into a list"):
        catalog.where(title=(1, 2))


def test_lists_in_cells_are_several_values():
    catalog = Catalog(pd.DataFrame({"item_id": [1, 2, 3], "tags": [["a", "b"], ["b"], None]}))
    assert catalog.where(tags="b") == [1, 2]
    assert catalog.texts("tags") == ["a b", "b", None]
    assert catalog.kind_of("tags") == "words"
    polars = pytest.importorskip("polars")
    other = Catalog(polars.DataFrame({"item_id": [1, 2], "tags": [["a", "b"], None]}))
    assert other.texts("tags") == ["a b", None]
    sets = Catalog(pd.DataFrame({"item_id": [1], "tags": [{"b", "a"}]}))
    assert sets.texts("tags") == ["a b"]


def test_columns_tell_what_they_hold(catalog):
    kinds = {name: catalog.kind_of(name) for name in catalog.columns}
    assert kinds == {
        "item_id": "text", "title": "text", "brand": "text", "price": "number", "tags": "text",
        "available": "flag",
    }  # fmt: skip
    odd = pd.DataFrame({"item_id": [1, 2], "none": [None, None], "mixed": ["a", 1]})
    assert [Catalog(odd).kind_of(name) for name in ("none", "mixed")] == ["nothing", "other"]


def test_text_that_is_none_is_named_by_item():
    catalog = Catalog(pd.DataFrame({"item_id": ["a", "b"], "title": ["x", 3.5]}))
    with pytest.raises(DataError, match=r"title of item 'b' is 3.5 \(float\); texts must be str"):
        catalog.texts("title")
    assert catalog.texts("title", ["a"]) == ["x"]


def test_ids_that_cannot_be_meant_are_refused():
    for ids, message in (
        (["a", "a"], "more than one row for item_id 'a'"),
        (["a", None], "1 rows without item_id"),
        (["a", 1], "mixes types"),
    ):
        with pytest.raises(DataError, match=message):
            Catalog(pd.DataFrame({"item_id": ids}))
    with pytest.raises(DataError, match=r"lacks the columns \['item_id'\].*rename 'sku'"):
        Catalog(pd.DataFrame({"sku": ["a"]}))
    with pytest.raises(DataError, match="must be a pandas, Polars or Arrow table"):
        Catalog([1, 2])


def test_update_keeps_what_it_does_not_name(catalog):
    new = pd.DataFrame({"item_id": ["cup", "pot"], "title": ["Cup", "Tea pot"], "size": [1, 2]})
    grown = catalog.update(new)
    assert grown.texts("title") == ["Red mug", "Green tea", "Tea pot", "", "Cup"]
    assert grown.texts("brand") == ["Acme", "Leaf", "Acme", None, None]
    assert grown.column("size").tolist() == [None, None, 2, None, 1]
    assert catalog.texts("title") == ["Red mug", "Green tea", None, ""], "the old one changed."
    with pytest.raises(DataError, match="item_id is int in the update and str in the catalogue"):
        catalog.update(pd.DataFrame({"item_id": [1]}))


def test_availability_has_no_third_value():
    odd = Catalog(pd.DataFrame({"item_id": [1, 2], "available": [True, None]}))
    with pytest.raises(DataError, match="True or False in its available column; got None"):
        odd.available()
    assert Catalog(pd.DataFrame({"item_id": [1, 2]})).available() == [1, 2]


def test_catalogue_is_a_table_everywhere(catalog):
    from ecomrec.cf import Popularity

    assert is_table(catalog)
    events = pd.DataFrame({"user_id": ["u"], "item_id": ["mug"]})
    model = Popularity().fit(events, items=catalog)
    assert sorted(model.item_ids_) == sorted(catalog.ids)
    shown = model.recommend(["u"], k=4).items[0].tolist()
    assert "pot" not in shown
    only = model.recommend(["u"], k=4, candidates=catalog.where(brand="Leaf")).items[0].tolist()
    assert only == ["tea", None, None, None]
    assert Catalog(catalog).ids.tolist() == catalog.ids.tolist()


def test_catalogue_passes_through_cross_validation(catalog):
    from sklearn.utils.validation import _check_method_params

    events = pd.DataFrame({"user_id": list("uvwx"), "item_id": TABLE["item_id"]})
    passed = _check_method_params(events, {"items": catalog}, indices=np.array([0, 1]))
    assert passed["items"] is catalog


def test_catalogue_is_pickled_and_read_only(catalog):
    copy = pickle.loads(pickle.dumps(catalog))
    assert repr(copy) == repr(catalog)
    assert repr(copy).startswith("Catalog(4 items: item_id, title")
    with pytest.raises(ValueError, match="read-only"):
        catalog.ids[0] = "x"
    cells = catalog.column("title")
    cells[0] = "changed"
    assert catalog.texts("title", ["mug"]) == ["Red mug"]


@pytest.mark.parametrize("ids", [[3, 1, 2], [("a", 1), ("b", 2)], [b"x", b"y"]])
def test_ids_of_other_kinds(ids):
    column = np.empty(len(ids), dtype=object)
    column[:] = ids
    catalog = Catalog(pd.DataFrame({"item_id": pd.Series(column), "title": "x"}))
    assert catalog.ids.tolist() == ids
    assert catalog.texts("title", ids[:1]) == ["x"]
    assert catalog.update(pd.DataFrame({"item_id": pd.Series(column[:1])})).n_items == len(ids)
