import base64
import hashlib
import hmac
import logging
import os
import pickle
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from ecomrec.cf import Popularity
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy import KeyRing, Pseudonymizer, redact
from ecomrec.privacy._id_bytes import id_bytes
from ecomrec.privacy.exports import pseudonyms as module

KINDS = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
METHODS = ("hmac-sha256", "blake2b")
KEY = bytes(range(32))
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.text(max_size=6), st.binary(max_size=6), st.uuids()
)
IDS = st.recursive(SCALARS, lambda inside: st.lists(inside, max_size=3).map(tuple), max_leaves=4)


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def ring_of(key=KEY):
    return KeyRing({"k1": key}, active="k1")


def tokenizer(ring=None, domain="tests", **parameters):
    return Pseudonymizer(ring_of() if ring is None else ring, domain=domain, **parameters)


def cells(table, name):
    values = table[name]
    return values.to_pylist() if isinstance(table, pa.Table) else values.to_list()


# Tokens


def by_hand(message, method):
    if method == "hmac-sha256":
        digest = hmac.new(KEY, message, hashlib.sha256).digest()[:16]
    else:
        digest = hashlib.blake2b(
            message, key=KEY, digest_size=16, person=b"ecomrec token 1"
        ).digest()
    return "k1:" + base64.b32encode(digest).decode().rstrip("=").lower()


@pytest.mark.parametrize("method", METHODS)
def test_tokens_are_the_documented_mac(method):
    ids = [7, "ann", b"ann", uuid.UUID(int=5), ("ann", 7), -12, ""]
    messages = [
        *(b"i7", b"sann", b"bann", b"u" + bytes(15) + b"\5"),
        b"t" + (4).to_bytes(8, "big") + b"sann" + (2).to_bytes(8, "big") + b"i7",
        *(b"i-12", b"s"),
    ]
    found = tokenizer(domain="survey", method=method).tokens(ids)
    assert found.tolist() == [by_hand(b"survey\0" + message, method) for message in messages]


def test_tokens_stay_the_same_from_release_to_release():
    assert [tokenizer(domain="survey", method=m).tokens(["ann"])[0] for m in METHODS] == [
        "k1:a4fndmm7bmc3kitar6m7ap5gfy",
        "k1:2akplwsp2uhub4pqlpsgv6hhyq",
    ]


@given(st.lists(IDS, max_size=12, unique_by=lambda one: (type(one).__name__, repr(one))))
def test_no_two_ids_are_written_the_same(ids):
    messages = [id_bytes(one) for one in ids]
    assert len(set(messages)) == len(ids)


def test_text_and_number_and_bytes_differ():
    found = tokenizer().tokens([1, "1", b"1", (1,), ("1",), ((1,),), ("", "1"), ("1", "")])
    assert len(set(found.tolist())) == len(found)


def test_integers_are_the_same_in_every_width():
    wanted = tokenizer().tokens([3]).tolist()
    for one in (np.int8(3), np.uint64(3), np.int64(3)):
        assert tokenizer().tokens([one]).tolist() == wanted
    for dtype in ("int16", "uint32", "Int64", "float64"):
        table = pd.DataFrame({"user_id": pd.array([3], dtype=dtype)})
        assert tokenizer().fit_transform(table)["user_id"].tolist() == wanted


@pytest.mark.parametrize("method", METHODS)
def test_domain_key_and_method_separate_exports(method):
    base = tokenizer(method=method)
    others = [
        tokenizer(domain="tests2", method=method),
        tokenizer(ring_of(bytes(range(1, 33))), method=method),
        tokenizer(method=METHODS[1 - METHODS.index(method)]),
    ]
    for other in others:
        assert other.tokens(["ann"])[0] != base.tokens(["ann"])[0]


def test_domain_and_id_cannot_flow_into_each_other():
    # Without the NUL "a" + "sb" would be "as" + "b" under another type mark.
    assert tokenizer(domain="a").tokens(["sb"])[0] != tokenizer(domain="as").tokens(["b"])[0]


# Tables


def test_table_keeps_its_kind_its_rows_and_its_other_columns(make):
    table = make({"user_id": ["ann", "bob", "ann"], "item_id": [1, 2, 3]})
    out = tokenizer().fit_transform(table)
    assert type(out) is type(table)
    assert cells(out, "user_id") == tokenizer().tokens(["ann", "bob", "ann"]).tolist()
    assert cells(out, "item_id") == [1, 2, 3]
    assert cells(table, "user_id") == ["ann", "bob", "ann"]


def test_tokens_are_text_of_the_kind_of_table(make):
    out = tokenizer().fit_transform(make({"user_id": [1, 2], "item_id": [1, 2]}))
    again = tokenizer(domain="second").fit_transform(out)
    assert all(isinstance(token, str) for token in cells(again, "user_id"))


def test_one_id_has_one_token_in_every_column_and_table(make):
    table = make({"user_id": [1, 2], "friend_id": [2, 1]})
    out = tokenizer(columns=("user_id", "friend_id")).fit_transform(table)
    assert cells(out, "user_id") == cells(out, "friend_id")[::-1]


def test_uuids_and_tuples_of_different_lengths_are_ids():
    users = pd.Series([("a",), ("a", "b"), ("a",)], dtype=object)
    out = tokenizer().fit_transform(pd.DataFrame({"user_id": users}))
    assert out["user_id"].tolist() == tokenizer().tokens(users.tolist()).tolist()
    people = [uuid.UUID(int=n) for n in (3, 1)]
    out = tokenizer().fit_transform(pd.DataFrame({"user_id": people}))
    assert out["user_id"].tolist() == tokenizer().tokens(people).tolist()


def test_an_empty_table_stays_empty(make):
    out = tokenizer().fit_transform(make({"user_id": [], "item_id": []}))
    assert cells(out, "user_id") == []


def test_a_model_learns_the_same_behind_tokens():
    table = pd.DataFrame({"user_id": [1, 1, 2, 3], "item_id": ["a", "b", "a", "c"]})
    model = make_pipeline(tokenizer(), Popularity()).fit(table)[-1]
    token = tokenizer().tokens([3]).tolist()
    assert model.recommend(token, k=2).items.tolist() == [["a", "b"]]


@pytest.mark.parametrize("bad", [[None, "secret-ann"], ["secret-ann", 1], [1.5, 2.5]])
def test_errors_about_ids_tell_counts_and_no_ids(bad):
    table = pd.DataFrame({"user_id": pd.Series(bad, dtype=object)})
    with pytest.raises(DataError, match=r"rows without user_id|cannot be ids") as caught:
        tokenizer().transform(table)
    assert "secret-ann" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (pd.Series([5, -1]), r"-1 \(the mark of a missing id\), which"),
        (pd.Series([2**63 + 1], dtype="uint64"), r"integers beyond 2\*\*63 - 1, which"),
        (pd.Series([2**70], dtype=object), r"integers beyond 2\*\*63 - 1, which"),
        (pd.Series([1.5, 2.0]), r"fractions, or floats beyond 2\*\*53, which"),
        (pd.Series(["secret-ann", 1], dtype=object), r"more than one type \(int, str\), which"),
        (pd.Series([True, False]), "bool"),
    ],
)
def test_the_reason_why_ids_are_none_is_named(cells, reason):
    with pytest.raises(DataError, match=f"user_id holds {reason}.* cannot be ids") as caught:
        tokenizer().transform(pd.DataFrame({"user_id": cells}))
    assert "secret-ann" not in str(caught.value)


def test_wide_integers_of_polars_are_ids():
    table = pl.DataFrame({"user_id": pl.Series([3, 5, 3]).cast(pl.Int128)})
    out = tokenizer().fit_transform(table)
    assert out["user_id"].to_list() == tokenizer().tokens([3, 5, 3]).tolist()


def test_missing_column_is_named():
    with pytest.raises(DataError, match=r"lacks the columns \['user_id'\]"):
        tokenizer().fit(pd.DataFrame({"uid": [1]}))


def test_a_single_id_is_not_a_list():
    with pytest.raises(DataError, match=r"ids must be a list; got a single str") as caught:
        tokenizer().tokens("ann")
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("one", [True, 1.5, None, [1], (1, None)])
def test_what_is_no_id_is_refused(one):
    with pytest.raises(DataError, match="ids are str, int, bytes, UUID, or tuples of these; got"):
        tokenizer().tokens([one])


def test_two_ids_with_one_token_are_an_error(monkeypatch):
    monkeypatch.setitem(
        module._METHODS, "hmac-sha256", lambda key, messages: [bytes(16) for _ in messages]
    )
    with pytest.raises(DataError, match=r"same token.*rotate\(\)"):
        tokenizer().transform(pd.DataFrame({"user_id": [1, 2]}))


# Verification and rotation


def test_tokens_are_told_apart():
    made = tokenizer()
    tokens = made.tokens(["ann", "bob"])
    assert made.matches(["ann", "bob"], tokens).tolist() == [True, True]
    assert made.matches(["bob", "ann"], tokens).tolist() == [False, False]


def test_retokenize_moves_tokens_to_the_active_key(make):
    ring = ring_of()
    made = tokenizer(ring)
    old = made.tokens(["ann", "bob", "ann"])
    ring.rotate()
    fresh = made.retokenize(old, ["cleo", "bob", "ann"])
    assert fresh.tolist() == made.tokens(["ann", "bob", "ann"]).tolist()
    assert all(token.startswith("k2:") for token in fresh)
    mixed = [old[0], fresh[1]]
    assert made.retokenize(mixed, ["ann", "bob"]).tolist() == fresh[:2].tolist()


def test_tokens_of_a_deleted_key_can_neither_be_made_nor_linked():
    ring = ring_of()
    made = tokenizer(ring)
    old = made.tokens(["ann"])
    ring.rotate()
    ring.delete("k1")
    wanted = "the key 'k1' was deleted"
    with pytest.raises(LookupError, match=wanted):
        made.matches(["ann"], old)
    with pytest.raises(LookupError, match=wanted):
        made.retokenize(old, ["ann"])
    with pytest.raises(LookupError, match=wanted):
        made.tokens(["ann"], key_id="k1")
    assert made.retokenize(old, {old[0]: "ann"}).tolist() == made.tokens(["ann"]).tolist()


def test_retokenize_counts_what_it_cannot_find():
    ring = ring_of()
    made = tokenizer(ring)
    old = made.tokens(["ann", "bob"])
    with pytest.raises(UnknownIdError, match="1 of 2 tokens belong to none"):
        made.retokenize(old, ["ann"])
    with pytest.raises(UnknownIdError, match="1 of 2 tokens belong to none"):
        made.retokenize(old, {old[0]: "ann"})
    with pytest.raises(DataError, match="2 of 2 tokens do not belong"):
        made.retokenize(old, {old[0]: "bob", old[1]: "ann"})


def test_what_is_no_token_is_counted():
    with pytest.raises(DataError, match="2 of 3 tokens are no tokens"):
        tokenizer().retokenize(["ann", "k1:short", *tokenizer().tokens(["a"])], ["a"])
    with pytest.raises(DataError, match="1 ids and 2 tokens do not go together"):
        tokenizer().matches(["a"], tokenizer().tokens(["a", "b"]))


# Parameters


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"keys": KEY}, TypeError, "keys must be a KeyRing; got bytes"),
        ({"keys": "x" * 40}, TypeError, "keys must be a KeyRing; got str"),
        ({"domain": ""}, ValueError, "domain must be a text"),
        ({"domain": "a\0b"}, ValueError, "no NUL"),
        ({"domain": 3}, ValueError, "domain must be a text"),
        ({"method": "sha256"}, ValueError, "method must be one of"),
        ({"columns": "user_id"}, ValueError, "columns must be a list"),
        ({"columns": ()}, ValueError, "columns must be a list"),
    ],
)
def test_bad_parameters_are_named_at_fit(parameters, error, message):
    made = Pseudonymizer(**({"keys": ring_of(), "domain": "tests"} | parameters))
    table = pd.DataFrame({"user_id": [1]})
    with pytest.raises(error, match=message) as caught:
        made.fit(table)
    with pytest.raises(error, match=message):
        made.transform(table)
    assert repr(KEY) not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (KEY[:31], ValueError, "32 to 64 bytes; this one has 31"),
        (bytes(range(65)), ValueError, "32 to 64 bytes; this one has 65"),
        (bytes(32), ValueError, "only 1 different bytes"),
        (b"abcdefg" * 5, ValueError, "only 7 different bytes"),
        ("0123456789abcdef" * 3, TypeError, "must be bytes; got str"),
        (bytearray(KEY), TypeError, "must be bytes; got bytearray"),
        (b"my password is hunter2 + my dog\n", ValueError, "is text, not random bytes"),
        (b"0123456789abcdef" * 4, ValueError, "is text, not random bytes.*bytes.fromhex"),
    ],
)
def test_weak_keys_are_refused_and_not_shown(key, error, message):
    with pytest.raises(error, match=message) as caught:
        KeyRing({"k1": key}, active="k1")
    assert "abcdef" not in str(caught.value)
    with pytest.raises(error, match=message):
        ring_of().add("k2", key)


def test_nothing_shows_a_key(caplog):
    ring = KeyRing({"k1": KEY, "k2": os.urandom(32)}, active="k1")
    made = tokenizer(ring)
    with caplog.at_level(logging.DEBUG):
        made.fit_transform(pd.DataFrame({"user_id": [1]}))
    shown = [repr(ring), str(ring), repr(made), made._repr_html_(), repr(made.get_params())]
    shown += [caplog.text, repr(clone(made).get_params())]
    for text in shown:
        assert KEY.hex() not in text
        assert repr(KEY)[2:20] not in text
    assert repr(ring) == "KeyRing(['k1', 'k2'], active='k1')"


def test_rings_are_shared_by_copies_and_never_pickled():
    ring = ring_of()
    made = tokenizer(ring)
    assert clone(made).keys is ring
    assert copy(ring) is ring
    assert deepcopy(made).keys is ring
    for what in (ring, made):
        with pytest.raises(TypeError, match="a KeyRing is not pickled"):
            pickle.dumps(what)


# Key rings


def test_ids_of_keys_are_never_used_again():
    ring = ring_of()
    assert ring.rotate() == "k2"
    ring.delete("k1")
    with pytest.raises(ValueError, match="there is or was a key 'k1'"):
        ring.add("k1", os.urandom(32))
    assert ring.rotate() == "k3"
    assert ring.ids == ["k2", "k3"]
    assert ring.active == "k3"


def test_the_active_key_is_not_deleted():
    ring = ring_of()
    with pytest.raises(ValueError, match=r"'k1' is the active key. Call rotate\(\) first"):
        ring.delete("k1")
    with pytest.raises(LookupError, match="'k9' is not in this ring"):
        ring.delete("k9")
    with pytest.raises(LookupError, match="'k9' is not in this ring"):
        ring.activate("k9")
    assert ring.ids == ["k1"]


@pytest.mark.parametrize("key_id", ["", "K1", "k:1", "k" * 33, "-k", 1, "k1\n"])
def test_ids_of_keys_that_cannot_stand_in_tokens_are_refused(key_id):
    with pytest.raises(ValueError, match="key ids are 1 to 32 of"):
        ring_of().add(key_id, os.urandom(32))


def test_one_key_has_one_id():
    with pytest.raises(ValueError, match="in the ring already"):
        ring_of().add("k2", KEY)


def test_added_keys_wait_to_be_activated():
    ring = ring_of()
    other = bytes(range(100, 132))
    ring.add("partner", other)
    assert ring.active == "k1"
    ring.activate("partner")
    assert tokenizer(ring).tokens([1])[0].startswith("partner:")


def test_a_written_ring_comes_back_and_is_read_by_its_owner_alone(tmp_path):
    ring = ring_of()
    ring.rotate()
    ring.delete("k1")
    path = tmp_path / "keys.json"
    ring.write(path)
    again = KeyRing.read(path)
    assert tokenizer(again).tokens([1])[0] == tokenizer(ring).tokens([1])[0]
    assert again.rotate() == "k3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY.hex() not in path.read_text()
    path.chmod(0o644)
    ring.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"ecomrec_key_ring": 2, "active": "k1", "keys": {"k1": "%s"}, "deleted": []}',
        '{"ecomrec_key_ring": 1, "active": "k2", "keys": {"k1": "%s"}, "deleted": []}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "00"}, "deleted": []}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s"}}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s"}, "deleted": ["k1"]}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s"}, "deleted": "k9"}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s"}, "deleted": [9]}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s"}, "deleted": ["a", "a"]}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": {"k1": "%s", "k1": "%s"}, "deleted": []}',
        '{"ecomrec_key_ring": 1, "active": "k1", "keys": ["%s"], "deleted": []}',
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_what_is_no_ring_is_refused_and_not_shown(tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text.replace("%s", KEY.hex()))
    with pytest.raises(DataError, match=r"is no key ring. Name a file") as caught:
        KeyRing.read(path)
    assert KEY.hex() not in str(caught.value)


def test_keys_that_differ_in_nuls_at_the_end_are_the_same_key():
    with pytest.raises(ValueError, match="key 'k2' is in the ring already, under another id"):
        KeyRing({"k1": KEY, "k2": KEY + b"\0"}, active="k1")


def test_a_ring_never_takes_the_place_of_keys_that_it_lacks(tmp_path):
    path = tmp_path / "keys.json"
    ring_of().write(path)
    one, other = KeyRing.read(path), KeyRing.read(path)
    one.rotate()
    one.write(path)
    other.rotate()
    before = path.read_bytes()
    for stranger in (other, KeyRing.generate(), ring_of()):
        with pytest.raises(DataError, match=r"does not know as that: \['k\d'.*Read it again"):
            stranger.write(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["keys.json"]


def test_a_deleted_key_does_not_come_back_with_an_older_ring(tmp_path):
    path = tmp_path / "keys.json"
    ring = ring_of()
    ring.rotate()
    ring.write(path)
    older = KeyRing.read(path)
    ring.delete("k1")
    ring.write(path)
    with pytest.raises(DataError, match=r"\['k1'\]"):
        older.write(path)
    assert KeyRing.read(path).ids == ["k2"]


def test_a_ring_takes_the_place_of_no_other_file(tmp_path):
    (tmp_path / "shop.ecomrec").write_text("a model")
    with pytest.raises(DataError, match="is no key ring"):
        ring_of().write(tmp_path / "shop.ecomrec")
    assert (tmp_path / "shop.ecomrec").read_text() == "a model"


def test_of_writers_at_once_one_is_told_of_the_other(tmp_path):
    path = tmp_path / "keys.json"
    ring_of().write(path)
    rings = [KeyRing.read(path) for _ in range(8)]

    def written(ring):
        ring.rotate()
        try:
            ring.write(path)
        except DataError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(written, rings)) == 1
    assert KeyRing.read(path).ids == ["k1", "k2"]


# Logs


def test_labels_hide_ids_and_tell_them_apart():
    assert redact("ann") == redact("ann")
    assert len({redact(one) for one in ("ann", "bob", 1, "1", b"1", (1,))}) == 6
    assert "ann" not in redact("ann")


def test_labels_take_the_place_of_ids_in_a_text():
    text = "users not seen in fit: ['ann', 'ann2', 'bob', 17]; banner of ann. 117"
    clean = redact(text, ids=["ann", "bob", 17])
    label = redact("ann")
    assert clean == (
        f"users not seen in fit: [{label}, 'ann2', {redact('bob')}, {redact(17)}]; "
        f"banner of {label}. 117"
    )
    assert redact(text, ids=[]) == text


def test_longer_ids_go_first():
    clean = redact("ann@shop.com wrote", ids=["ann", "ann@shop.com"])
    assert clean == f"{redact('ann@shop.com')} wrote"


def test_redact_with_ids_wants_a_text():
    with pytest.raises(TypeError, match="value must be a text; got int"):
        redact(7, ids=[7])


@pytest.mark.parametrize("single", ["ann", b"ann!", 7, np.int64(7), uuid.UUID(int=7), ("ann", 7)])
def test_redact_wants_a_list_of_ids(single):
    with pytest.raises(DataError, match="ids must be a list; got a single") as caught:
        redact("ann came", ids=single)
    assert "ann" not in str(caught.value)


@pytest.mark.slow
def test_tokens_of_200_000_ids_take_seconds():
    import time

    table = pd.DataFrame({"user_id": [f"customer-{n}" for n in range(200_000)]})
    for method in METHODS:
        start = time.perf_counter()
        tokenizer(method=method).transform(table)
        assert time.perf_counter() - start < 5
