"""What is near."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecomrec
from ecomrec.coldstart import Nearby
from ecomrec.exceptions import DataError
from ecomrec.testing import twins_places

STORES = pd.DataFrame(
    {
        "item_id": ["mitte", "pankow", "potsdam", "online"],
        "lat": [52.520, 52.569, 52.396, None],
        "lon": [13.405, 13.402, 13.058, 13.0],
    }
)
EVENTS = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["mitte", "online"]})


def kilometres(one, other):
    table = STORES.set_index("item_id")
    return twins_places.haversine(
        table.loc[one].to_numpy(dtype=float), table.loc[other].to_numpy(dtype=float)
    )


def test_score_halves_with_every_half_distance():
    model = Nearby(3.0, popularity_weight=0.0).fit(EVENTS, items=STORES)
    items, scores = model.recommend(["ann"], k=3)
    assert items[0].tolist() == ["pankow", "potsdam", "online"]
    expected = [2 ** (-kilometres("mitte", there) / 3) for there in ("pankow", "potsdam")]
    np.testing.assert_allclose(scores[0], [*expected, 0.0], rtol=1e-6)


def test_several_past_places_count_by_their_weight():
    events = pd.DataFrame(
        {"user_id": "ann", "item_id": ["mitte", "potsdam"], "weight": [3.0, 1.0]}
    )
    model = Nearby(10.0, popularity_weight=0.0).fit(events, items=STORES)
    far = [2 ** (-kilometres(here, "pankow") / 10) for here in ("mitte", "potsdam")]
    assert model.predict([("ann", "pankow")])[0] == pytest.approx(0.75 * far[0] + 0.25 * far[1])
    table = model.explain("ann", "pankow")
    assert table["reason"].tolist() == ["mitte", "potsdam"]
    np.testing.assert_allclose(table["contribution"], [0.75 * far[0], 0.25 * far[1]], rtol=1e-5)


def test_place_of_the_user_counts_instead_of_past_ones():
    users = pd.DataFrame({"user_id": ["ann"], "lat": [52.4], "lon": [13.06]})
    model = Nearby().fit(EVENTS, items=STORES, users=users)
    assert model.recommend(["ann"], k=1).items.tolist() == [["potsdam"]]
    table = model.explain("ann", "potsdam")
    assert table["kind"].tolist()[0] == "place"
    assert table["reason"].tolist()[0] == "0.5 km"
    moved = pd.DataFrame({"user_id": ["ann"], "lat": [52.57], "lon": [13.40]})
    model.partial_fit(EVENTS.iloc[:0], users=moved)
    assert model.recommend(["ann"], k=1).items.tolist() == [["pankow"]]
    np.testing.assert_array_equal(model.user_places_[0], [52.57, 13.40])
    np.testing.assert_array_equal(model.item_places_[0], [52.520, 13.405])


def test_location_of_a_request_counts_instead_of_what_is_known(tmp_path):
    users = pd.DataFrame({"user_id": ["ann"], "lat": [52.57], "lon": [13.40]})
    model = Nearby().fit(EVENTS, items=STORES, users=users)
    model.save(tmp_path / "near.ecomrec")
    for fitted in (model, ecomrec.load(tmp_path / "near.ecomrec")):
        assert fitted.recommend(["ann"], location=(52.4, 13.06), k=1).items.tolist() == [
            ["potsdam"]
        ]
        recs = fitted.recommend(location=[(52.4, 13.06), (52.5, 13.4), (np.nan, 0)], k=2)
        assert recs.items[:, 0].tolist() == ["potsdam", "mitte", "mitte"]
        assert recs.scores[2].tolist() == [0, 0]
        visit = fitted.recommend(history=[["potsdam"]], location=(52.4, 13.06), k=1)
        assert visit.items.tolist() == [["mitte"]]


def test_popular_items_come_first_at_one_place():
    rows = [("u1", "b"), ("u2", "b"), ("u3", "a"), ("u4", "c"), ("u5", "c"), ("u6", "c")]
    events = pd.DataFrame(rows, columns=["user_id", "item_id"])
    items = pd.DataFrame({"item_id": list("abcd"), "lat": 52.5, "lon": [13.4, 13.4, 13.4, 13.5]})
    model = Nearby().fit(events, items=items)
    assert model.recommend(location=(52.5, 13.4), k=4).items.tolist() == [["c", "b", "a", "d"]]
    # Those who have c live far away from here, and those of a next door.
    users = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(1, 7)],
            "lat": [52.51, 52.51, 52.5, 48.1, 48.1, 48.1],
            "lon": [13.41, 13.41, 13.4, 11.6, 11.6, 11.6],
        }
    )
    near = Nearby().fit(events, items=items, users=users)
    assert near.recommend(location=(52.5, 13.4), k=4).items.tolist() == [["b", "a", "c", "d"]]
    plain = Nearby(popularity_weight=0).fit(events, items=items, users=users)
    assert plain.recommend(location=(52.5, 13.4), k=4).items.tolist() == [["a", "b", "c", "d"]]


def test_beyond_max_distance_there_is_no_evidence():
    model = Nearby(max_distance=10).fit(EVENTS, items=STORES)
    items, scores = model.recommend(["ann"], k=3)
    assert items[0, 0] == "pankow"
    assert scores[0, 0] > 0
    assert scores[0, 1:].tolist() == [0, 0]


def test_visitors_and_items_without_a_place_have_no_evidence():
    model = Nearby().fit(EVENTS, items=STORES)
    items, scores = model.recommend(["bob"], k=3)
    assert items[0].tolist() == ["mitte", "pankow", "potsdam"]
    assert scores[0].tolist() == [0, 0, 0]
    assert model.predict([("ann", "online")]).tolist() == [0]


def test_other_columns_may_hold_the_degrees():
    stores = STORES.rename(columns={"lat": "latitude", "lon": "longitude"})
    model = Nearby(lat="latitude", lon="longitude").fit(EVENTS, items=stores)
    assert model.recommend(["ann"], k=1).items.tolist() == [["pankow"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"lat": [91.0, 0, 0, 0]},
            "item 'mitte' is at lat 91 and lon 13.405; degrees of latitude",
        ),
        ({"lat": [139.7, 0, 0, 0], "lon": [35.7, 0, 0, 0]}, "Perhaps they are swapped"),
        ({"lon": [0, 0, 181.0, 0]}, "item 'potsdam' is at"),
        ({"lat": [0, np.inf, 0, 0]}, "item 'pankow' is at lat inf"),
        ({"lat": ["52", "52", "52", None]}, "must hold degrees in its column lat; got '52'"),
        ({"lat": [True, False, True, None]}, "must hold degrees in its column lat; got True"),
    ],
)
def test_coordinates_on_no_globe_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        Nearby().fit(EVENTS, items=STORES.assign(**change))


def test_tables_without_coordinates_are_refused():
    with pytest.raises(DataError, match=r"columns 'lat' and 'lon', degrees; found .*'item_id'"):
        Nearby().fit(EVENTS, items=STORES[["item_id"]])
    with pytest.raises(DataError, match="got items=None"):
        Nearby().fit(EVENTS)
    with pytest.warns(UserWarning, match="everybody gets what sells"):
        Nearby().fit(np.eye(3))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("here", r"one \(lat, lon\), or one for each of the 1 rows; got 'here'"),
        ([(1, 2), (3, 4)], "one for each of the 1 rows"),
        ((52.5, 13.4, 7), r"location must be one \(lat, lon\)"),
        ((100.0, 13.4), "location 0 is at lat 100 and lon 13.4.*Perhaps they are swapped"),
    ],
)
def test_location_that_is_none_is_refused(location, message):
    model = Nearby().fit(EVENTS, items=STORES)
    with pytest.raises(DataError, match=message):
        model.recommend(["ann"], location=location)
    with pytest.raises(ValueError, match="unknown must be"):
        model.recommend(location=(0, 0), unknown="ignore")


@given(
    st.lists(
        st.tuples(st.floats(-90, 90), st.floats(-180, 180)) | st.just((None, None)),
        min_size=2, max_size=6,
    ),
    st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
)  # fmt: skip
def test_nearer_items_never_come_later(there, here):
    items = pd.DataFrame(there, columns=["lat", "lon"], dtype=float).assign(
        item_id=range(len(there))
    )
    events = pd.DataFrame({"user_id": [1], "item_id": [0]})
    model = Nearby(500.0, popularity_weight=0.0).fit(events, items=items)
    found, scores = model.recommend(location=here, k=len(there))
    near = [
        twins_places.haversine(here, there[item])
        for item, score in zip(found[0].tolist(), scores[0], strict=True)
        if score > 0
    ]
    assert (np.diff(near) > -0.05).all()
