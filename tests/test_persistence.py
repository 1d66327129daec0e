"""Saved models come back exactly, or are refused by name; a crash never costs the old file."""

import contextlib
import datetime
import enum
import errno
import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import uuid
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from ecomrec.exceptions import FileFormatError
from ecomrec.persistence import pack_ids, pack_value, read, unpack_ids, unpack_value, write

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
ARRAYS = {
    "scores": np.array([[0.5, 0.25], [1.0, -0.0]]),
    "rows": np.arange(3, dtype=np.int32),
    "seen": np.array([True, False, True]),
    "words": np.frombuffer("t\N{SNOWMAN}".encode(), dtype=np.uint8),
    "none": np.empty((0, 4), dtype=np.float32),
    "mean": np.array(2.5, dtype=np.float32),
}
N_BYTES = sum(array.nbytes for array in ARRAYS.values())
MANIFEST = {"class": "ItemKNN", "params": {"k": 5, "name": "\N{SNOWMAN}"}}

any_text = st.text(st.characters(exclude_categories=()), max_size=8)
any_bytes = st.binary(max_size=8)
integers = st.integers(-(2**70), 2**70)
parts = st.recursive(
    any_text | integers | any_bytes | st.uuids(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
ID_KINDS = {
    "str": any_text,
    "bytes": any_bytes,
    "uuid": st.uuids(),
    "tuple": st.lists(parts, max_size=3).map(tuple),
}
scalars = hnp.scalar_dtypes().filter(lambda t: t.kind in "?biufmM" and t.itemsize <= 8)
parameters = st.recursive(
    st.none()
    | st.booleans()
    | integers
    | st.floats()
    | any_text
    | any_bytes
    | st.uuids()
    | st.timedeltas()
    | scalars.flatmap(hnp.from_dtype).filter(lambda value: isinstance(value, np.generic)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(any_text | integers | st.uuids(), inner, max_size=3)
    ),
    max_leaves=8,
)


def objects(values):
    return np.fromiter(values, dtype=object, count=len(values))


def same(one, other):
    """Tell whether two values have the same types throughout, and the same content."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.generic):
        return one.dtype == other.dtype and (one == other or one.tobytes() == other.tobytes())
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def assert_same_arrays(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        assert found[name].dtype == little.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == little.tobytes()


def through_file(arrays, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        write(path, {}, arrays)
        return read(path, **options)[1]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "shop.ecomrec"
    write(path, MANIFEST, ARRAYS)
    return path


def header_of(path):
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def put(path, header, data, *, pad=8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def sealed(document):
    """Return a manifest as text with a checksum that matches."""
    body = json.dumps(document)[:-1]
    return f'{body},"checksum":"{zlib.crc32(body.encode()):08x}"}}'


@contextlib.contextmanager
def changed_byte(path, place, value):
    """Change one byte in place: much faster than writing the file anew."""
    with path.open("r+b", buffering=0) as file:
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([value]))
        yield
        file.seek(place)
        file.write(before)


def python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


# --- round trips


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
@pytest.mark.parametrize("verify", [False, True], ids=["sizes", "bytes"])
def test_manifest_and_arrays_come_back_as_they_were(saved, verify, mmap):
    manifest, arrays = read(saved, verify=verify, mmap=mmap)
    assert manifest == MANIFEST
    assert_same_arrays(arrays, ARRAYS)


@given(
    arrays=st.dictionaries(
        st.from_regex(r"[a-zA-Z0-9_.:/-]{1,6}", fullmatch=True),
        st.sampled_from(DTYPES).flatmap(
            lambda t: hnp.arrays(t, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=5,
    ),
    mmap=st.booleans(),
)
def test_arrays_of_any_dtype_and_shape_come_back_bit_for_bit(arrays, mmap):
    assert_same_arrays(through_file(arrays, verify=True, mmap=mmap), arrays)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4)[::2, ::-2],
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(4, dtype=">f4"),
        np.broadcast_to(np.float32(3), (2, 2)),
        np.frombuffer(b"\0\1\2\3", dtype=np.int16),
    ],
    ids=["strided", "fortran", "big-endian", "broadcast", "read-only"],
)
def test_arrays_of_any_memory_layout_can_be_saved(array):
    assert_same_arrays(through_file({"x": array}, verify=True), {"x": array})


def test_no_arrays_and_no_manifest_are_a_model_too(tmp_path):
    write(tmp_path / "empty", {}, {})
    assert read(tmp_path / "empty", verify=True) == ({}, {})
    assert read(tmp_path / "empty", mmap=True) == ({}, {})


def test_equal_models_make_equal_files(saved, tmp_path):
    write(tmp_path / "again", MANIFEST, ARRAYS)
    assert saved.read_bytes() == (tmp_path / "again").read_bytes()


def test_file_is_plain_safetensors(saved):
    found = load_file(saved)
    assert_same_arrays({name: found[name] for name in ARRAYS}, ARRAYS)


def test_arrays_read_into_memory_are_writeable_and_aligned(saved):
    arrays = read(saved)[1]
    assert all(array.flags.writeable and array.flags.aligned for array in arrays.values())


def test_mapped_arrays_share_the_file_and_never_change_it(saved):
    before = saved.read_bytes()
    arrays = read(saved, mmap=True)[1]
    scores = arrays["scores"]
    bases = [scores]
    while isinstance(bases[-1], np.ndarray):
        bases.append(bases[-1].base)
    assert any(isinstance(base, np.memmap) for base in bases)
    assert type(scores) is np.ndarray
    assert all(array.flags.aligned for array in arrays.values())
    scores[0, 0] += 1
    assert saved.read_bytes() == before


def test_mapped_arrays_outlive_the_file_being_replaced(saved):
    arrays = read(saved, mmap=True)[1]
    write(saved, {}, {"scores": np.zeros(1000)})
    assert_same_arrays(arrays, ARRAYS)


def test_mapped_model_can_be_saved_over_itself(saved):
    manifest, arrays = read(saved, mmap=True)
    write(saved, manifest, arrays)
    assert_same_arrays(read(saved, verify=True)[1], ARRAYS)


# --- ids


@given(data=st.data(), kind=st.sampled_from(sorted(ID_KINDS)))
def test_ids_of_every_kind_come_back_exactly(data, kind):
    ids = objects(data.draw(st.lists(ID_KINDS[kind], max_size=6)))
    found = unpack_ids("ids", through_file(pack_ids("ids", ids, kind)), kind)
    assert found.dtype == object
    assert same(found.tolist(), ids.tolist())


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("str", ["", "\0", "a\0", "\N{GRINNING FACE}", "\ud83d", "\ud83d\ude00", "e\u0301"]),
        ("bytes", [b"", b"\0", b"a\0\0", b"\xff"]),
        ("uuid", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
        ("tuple", [(), ("a", 1, b"\0", uuid.UUID(int=1)), ((), ("\ud83d\ude00",)), (2**80,)]),
        ("tuple", [(np.int64(1), np.str_("a")), (1, "a")]),
    ],
    ids=["str", "bytes", "uuid", "tuple", "tuple of NumPy scalars"],
)
def test_awkward_ids_come_back_exactly(kind, values):
    found = unpack_ids("ids", through_file(pack_ids("ids", objects(values), kind)), kind)
    assert same(found.tolist(), values)


@pytest.mark.parametrize("values", [[], [-(2**63), 0, 2**63 - 1]], ids=["none", "extremes"])
def test_integer_ids_come_back_as_int64(values):
    ids = np.array(values, dtype=np.int64)
    found = unpack_ids("ids", through_file(pack_ids("ids", ids, "int"), mmap=True), "int")
    assert found.dtype == np.int64
    assert found.tolist() == values


def test_numpy_strings_come_back_as_plain_strings():
    packed = pack_ids("ids", objects([np.str_("tea")]), "str")
    assert same(unpack_ids("ids", packed, "str").tolist(), ["tea"])


class Size(enum.StrEnum):
    LARGE = "large"


class Price(np.float64):
    pass


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("str", ["tea", 5], r"item_ids must hold only str to be saved; got int 5\. Convert"),
        ("str", [Size.LARGE], "got Size <Size.LARGE"),
        ("str", [b"tea"], "got bytes b'tea'"),
        ("bytes", ["tea"], "must hold only bytes to be saved; got str 'tea'"),
        ("uuid", ["tea"], "must hold only uuid to be saved; got str 'tea'"),
        ("tuple", [["tea"]], r"must hold only tuple to be saved; got list \['tea'\]"),
        ("tuple", [("tea", 1.5)], r"the tuple \('tea', 1.5\) must hold only str, int, .* 1\.5"),
        ("tuple", [("tea", (None,))], r"got tuple \(None,\)"),
        ("tuple", [("tea", True)], "got bool True"),
    ],
)
def test_ids_of_another_type_are_refused(kind, values, message):
    with pytest.raises(TypeError, match=message):
        pack_ids("item_ids", objects(values), kind)


def test_integer_ids_of_another_dtype_are_refused():
    with pytest.raises(TypeError, match=r"item_ids must be int64 .* got float64"):
        pack_ids("item_ids", np.array([1.5]), "int")


def test_id_matrix_is_refused():
    with pytest.raises(ValueError, match=r"must be one-dimensional; got shape \(1, 2\)"):
        pack_ids("item_ids", np.array([[1, 2]]), "int")


def test_unknown_kind_of_ids_is_refused():
    with pytest.raises(ValueError, match=r"kind must be 'int' or one of .*; got 'float'"):
        pack_ids("item_ids", objects([1.5]), "float")


text_bytes = np.frombuffer(b"tea\xff", dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "arrays", "message"),
    [
        ("int", {}, "array 'ids' is missing"),
        ("int", {"ids": np.zeros(2)}, r"array 'ids' is float64 of shape \(2,\)"),
        ("str", {"ids": text_bytes}, "array 'ids.offsets' is missing"),
        ("str", {"ids": text_bytes, "ids.offsets": np.array([0, 4])}, "array 'ids' is no text"),
        ("uuid", {"ids": text_bytes}, r"array 'ids' is uint8 of shape \(4,\)"),
        ("tuple", {"ids": text_bytes}, "array 'ids' is no valid JSON"),
        ("tuple", pack_ids("ids", text_bytes.astype(np.int64), "int"), "is int64 of shape"),
        ("float", {"ids": text_bytes}, "unknown kind 'float'"),
        *(
            ("bytes", {"ids": text_bytes, "ids.offsets": np.array(offsets, np.int64)}, "divide")
            for offsets in ([], [1, 4], [0, 3], [0, 5, 4], [0, -1, 4], [0, 5])
        ),
    ],
)
def test_arrays_that_are_no_ids_are_refused(kind, arrays, message):
    with pytest.raises(FileFormatError, match=f"{message}.*the file is damaged. Restore it"):
        unpack_ids("ids", arrays, kind)


@pytest.mark.parametrize("text", [b"{}", b"[5]", b"[[1.5]]", b"[[[1]]]", b'[[{"dict":[]}]]'])
def test_json_that_is_no_tuple_of_ids_is_refused(text):
    with pytest.raises(FileFormatError, match="array 'ids'"):
        unpack_ids("ids", {"ids": np.frombuffer(text, dtype=np.uint8)}, "tuple")


# --- parameters


@given(value=parameters)
@example(value="\ud83d\ude00")
@example(value=[1, 1.0, True, -0.0, float("inf"), float("nan")])
@example(value={1: "int", "1": "str", (1, 2): None})
@example(value=(np.timedelta64(50, "25s"), np.timedelta64("NaT"), np.timedelta64(5)))
@example(
    value=[np.float32(0.1), np.bool_(False), np.str_("a"), np.bytes_(b"a"), np.uint64(2**64 - 1)]
)
def test_parameters_come_back_exactly(value):
    text = json.dumps(pack_value(value), allow_nan=False)
    assert same(unpack_value(json.loads(text)), value)


@pytest.mark.parametrize(
    "value",
    [
        np.random.default_rng(0),
        np.random.RandomState(0),
        np.zeros(2),
        {1, 2},
        1j,
        np.complex64(1),
        np.longdouble(1),
        object,
        len,
        Size.LARGE,
        Price(1),
        OrderedDict(),
        datetime.date(2026, 1, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parameter_of_another_type_is_refused_by_name(value):
    with pytest.raises(TypeError, match=f"Cannot save a value of type {type(value).__name__}"):
        pack_value([value])


def test_refusal_says_what_to_pass_for_a_generator():
    with pytest.raises(TypeError, match=r"Generator.*; random_state as an integer"):
        pack_value(np.random.default_rng(0))


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"os.system": "ls"},
        {"tuple": [], "dict": []},
        {"tuple": 5},
        {"dict": [1]},
        {"dict": [[[], 1]]},
        {"float": "many"},
        {"uuid": "1"},
        {"bytes": 5},
        {"timedelta": [10**12, 0, 0]},
        {"numpy": ["O", 5]},
        {"numpy": ["i1", 300]},
        {"numpy": ["m8[shop]", 5]},
        {"numpy": 5},
        [{"text": "ff"}],
    ],
    ids=json.dumps,
)
def test_stored_value_that_no_parameter_makes_is_refused(stored):
    with pytest.raises(FileFormatError, match=r"stored value .* cannot be understood"):
        unpack_value(stored)


# --- what a file cannot hold


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([None]),
        np.array([1j]),
        np.array(["2026-01-01"], dtype="datetime64[D]"),
        np.zeros(1, dtype="i4,f4"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_array_of_another_dtype_is_refused_by_name(tmp_path, array):
    with pytest.raises(TypeError, match=r"Cannot save array 'ids' of dtype .* pack_ids"):
        write(tmp_path / "model", {}, {"ids": array})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a b", "\u00e9", "__metadata__", "a\n", 5])
def test_array_name_that_could_be_misread_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="Array names have ASCII letters"):
        write(tmp_path / "model", {}, {name: np.zeros(1)})


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"params": {1, 2}}, "The manifest is no JSON: .*set.* Use pack_value"),
        ({"params": float("inf")}, "The manifest is no JSON: .* Use pack_value"),
        ({"params": (1, 2)}, "would come back changed: it holds tuples"),
        ({5: "a"}, "would come back changed: .* keys that are no strings"),
        ({"name": "\ud83d\ude00"}, "would come back changed: .* surrogates"),
    ],
    ids=["set", "infinity", "tuple", "integer key", "surrogates"],
)
def test_manifest_that_json_would_change_is_refused(tmp_path, manifest, message):
    with pytest.raises(TypeError, match=message):
        write(tmp_path / "model", manifest, {})


def test_manifest_beyond_the_header_limit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"The manifest has 4\d+ characters. Put large data"):
        write(tmp_path / "model", {"text": "a" * 40_000_000}, {})


# --- damage


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
def test_file_cut_short_anywhere_is_refused(saved, mmap):
    for length in reversed(range(saved.stat().st_size)):
        os.truncate(saved, length)
        with pytest.raises(FileFormatError, match=r"shop\.ecomrec"):
            read(saved, mmap=mmap)


def test_file_with_bytes_added_is_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(
        FileFormatError, match=f"should have {N_BYTES} bytes, and {N_BYTES + 1} are"
    ):
        read(saved)


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
def test_any_changed_bit_is_refused_when_verified(saved, mmap):
    whole = saved.read_bytes()
    for place in range(len(whole)):
        for mask in [1 << place % 8] if mmap else [1 << bit for bit in range(8)]:
            with changed_byte(saved, place, whole[place] ^ mask), pytest.raises(FileFormatError):
                read(saved, verify=True, mmap=mmap)
    assert saved.read_bytes() == whole


def test_changed_padding_is_refused(tmp_path):
    for extra in range(8):
        write(tmp_path / "model", {"text": "a" * extra}, {})
        whole = (tmp_path / "model").read_bytes()
        for place in range(len(whole.rstrip(b" ")), len(whole)):
            for blank in b"\t\n\r":
                with (
                    changed_byte(tmp_path / "model", place, blank),
                    pytest.raises(FileFormatError, match="padded"),
                ):
                    read(tmp_path / "model")


def test_changed_bit_that_goes_unseen_changes_only_numbers(saved):
    whole = saved.read_bytes()
    start = len(whole) - N_BYTES
    for place in range(len(whole)):
        with changed_byte(saved, place, whole[place] ^ 1 << place % 8):
            try:
                manifest, arrays = read(saved)
            except FileFormatError:
                continue
        assert place >= start
        assert manifest == MANIFEST
        assert [(a.dtype, a.shape) for a in arrays.values()] == [
            (a.dtype, a.shape) for a in ARRAYS.values()
        ]


@given(garbage=st.binary(max_size=200))
def test_garbage_is_refused(garbage):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        path.write_bytes(garbage)
        with pytest.raises(FileFormatError):
            read(path)


@pytest.mark.parametrize("kind", ["str", "tuple"])
def test_ids_with_a_changed_bit_are_read_or_refused(kind):
    ids = {"str": ["tea", "m\N{SNOWMAN}g"], "tuple": [("tea", 1), (b"a", uuid.UUID(int=1))]}[kind]
    packed = pack_ids("ids", objects(ids), kind)
    for name in packed:
        for place in range(packed[name].nbytes * 8):
            raw = bytearray(packed[name].tobytes())
            raw[place // 8] ^= 1 << place % 8
            changed = np.frombuffer(raw, dtype=packed[name].dtype)
            try:
                found = unpack_ids("ids", packed | {name: changed}, kind)
            except FileFormatError:
                continue
            assert len(found) == len(ids)


def test_boolean_that_is_neither_is_refused_without_verify(saved):
    header, data = header_of(saved)
    begin = header["seen"]["data_offsets"][0]
    put(saved, header, data[:begin] + b"\2" + data[begin + 1 :])
    with pytest.raises(FileFormatError, match="array 'seen' holds bytes that are no booleans"):
        read(saved)


def test_wrong_number_is_named_by_its_array_when_verified(saved):
    header, data = header_of(saved)
    put(saved, header, b"\1" + data[1:])
    with pytest.raises(FileFormatError, match="array 'scores' does not match its checksum"):
        read(saved, verify=True)


ENTRY = {"dtype": "I32", "shape": [3], "data_offsets": [36, 48]}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ENTRY | {"data_offsets": [32, 44]}, "array 'rows' starts at byte 32 instead of 36"),
        (ENTRY | {"data_offsets": [40, 52]}, "starts at byte 40 instead of 36"),
        (ENTRY | {"data_offsets": [0, 12]}, "starts at byte"),
        (ENTRY | {"data_offsets": [48, 36]}, "header entry of array 'rows'"),
        (ENTRY | {"data_offsets": [-12, 0]}, "header entry of array 'rows'"),
        (ENTRY | {"data_offsets": [36.0, 48]}, "header entry of array 'rows'"),
        (ENTRY | {"data_offsets": [36]}, "header entry of array 'rows'"),
        (ENTRY | {"shape": [4]}, "header entry of array 'rows'"),
        (ENTRY | {"shape": [-1, -3]}, "header entry of array 'rows'"),
        (ENTRY | {"shape": [3, True]}, "header entry of array 'rows'"),
        (ENTRY | {"shape": 3}, "header entry of array 'rows'"),
        (ENTRY | {"shape": [3] + 64 * [1]}, "header entry of array 'rows'"),
        (ENTRY | {"shape": [0, 2**62, 2**62], "data_offsets": [36, 36]}, "header entry"),
        (ENTRY | {"shape": [2**62, 2**62], "data_offsets": [36, 36 + 2**126]}, "header entry"),
        (ENTRY | {"dtype": "C64"}, "header entry of array 'rows'"),
        (ENTRY | {"dtype": ["I32"]}, "header entry of array 'rows'"),
        (ENTRY | {"strides": [4]}, "header entry of array 'rows'"),
        ({"dtype": "I32", "shape": [3]}, "header entry of array 'rows'"),
        ("I32", "header entry of array 'rows'"),
        (None, "header entry of array 'rows'"),
        (ENTRY | {"dtype": "F32"}, "array 'rows' is not as the manifest describes it"),
        (ENTRY | {"shape": [3, 1]}, "array 'rows' is not as the manifest describes it"),
    ],
)
@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
def test_header_entry_that_cannot_be_right_is_refused(saved, entry, message, mmap):
    header, data = header_of(saved)
    assert header["rows"] == ENTRY
    put(saved, header | {"rows": entry}, data)
    with pytest.raises(FileFormatError, match=f"{message}.*the file is damaged"):
        read(saved, mmap=mmap)


def test_array_that_could_not_be_mapped_aligned_is_refused(saved):
    header, data = header_of(saved)
    header = {name: header[name] for name in ("__metadata__", "words", "scores")}
    header["words"]["data_offsets"] = [0, 4]
    header["scores"]["data_offsets"] = [4, 36]
    put(saved, header, data[:36])
    with pytest.raises(FileFormatError, match="header entry of array 'scores'"):
        read(saved, mmap=True)


def test_arrays_beyond_the_file_are_refused(saved):
    header, data = header_of(saved)
    begin = header["seen"]["data_offsets"][0]
    header["seen"] = {"dtype": "BOOL", "shape": [9999], "data_offsets": [begin, begin + 9999]}
    put(saved, header, data)
    with pytest.raises(FileFormatError, match=f"should have {begin + 9999} bytes, and {N_BYTES}"):
        read(saved)


def test_array_that_no_memory_holds_is_refused(saved, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(FileFormatError, match=r"bytes, more than fit into memory.*mmap=True"):
        read(saved)


@pytest.mark.parametrize("name", ["scores", "x" * 1_000_000])
def test_error_about_a_header_stays_short(saved, name):
    header, data = header_of(saved)
    header[name] = {"dtype": "F64", "shape": [1] * 100_000, "data_offsets": [0, 8]}
    put(saved, header, data)
    with pytest.raises(FileFormatError, match="the header entry of array") as caught:
        read(saved)
    assert len(str(caught.value)) < 2000


def test_array_that_the_manifest_does_not_know_is_refused(saved):
    header, data = header_of(saved)
    header["other"] = {"dtype": "U8", "shape": [2], "data_offsets": [N_BYTES, N_BYTES + 2]}
    put(saved, header, data + b"ab")
    with pytest.raises(FileFormatError, match=r"differ in the arrays \['other'\]"):
        read(saved)


def test_array_that_only_the_manifest_knows_is_refused(saved):
    header, data = header_of(saved)
    del header["none"]
    put(saved, header, data)
    with pytest.raises(FileFormatError, match=r"differ in the arrays \['none'\]"):
        read(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"[]", "no JSON object"),
        (b"{" * 8, "no JSON object"),
        (b'{"a":}', "the header is no valid JSON"),
        (b'{"a":1,"a":1}', "the header is no valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"}", r"the header is no valid JSON \(RecursionError\)"),
        (b'{"a":' + b"9" * 5000 + b"}", "the header is no valid JSON"),
        (b'{"\xff":1}', r"the header is no valid JSON \(UnicodeDecodeError\)"),
        (b" {}", "no JSON object"),
    ],
    ids=["list", "braces", "broken", "twice", "deep", "long", "no text", "blank"],
)
def test_header_that_is_not_one_json_object_is_refused(tmp_path, header, message):
    put(tmp_path / "model", header, b"")
    with pytest.raises(FileFormatError, match=f"{message}.*the file is damaged"):
        read(tmp_path / "model")


def test_header_that_is_not_padded_is_refused(saved):
    header, data = header_of(saved)
    header["__metadata__"]["ecomrec"] += " " * (len(json.dumps(header)) % 2 == 0)
    put(saved, header, data, pad=1)
    with pytest.raises(FileFormatError, match="padded to 8 bytes"):
        read(saved)


def test_manifest_edited_by_hand_is_refused(saved):
    raw = saved.read_bytes()
    saved.write_bytes(raw.replace(b"ItemKNN", b"UserKNN"))
    with pytest.raises(FileFormatError, match="the manifest does not match its checksum"):
        read(saved)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format_version": 1}, "the manifest lacks its parts"),
        ({"format_version": 1, "manifest": {}, "arrays": []}, "the manifest lacks its parts"),
        ({"format_version": True, "manifest": {}, "arrays": {}}, "does not match"),
        ({"format_version": 0, "manifest": {}, "arrays": {}}, "does not match"),
        ({"manifest": {}, "arrays": {}}, "does not match"),
        ({"format_version": 1, "manifest": {}, "arrays": {"x": 5}}, "not as the manifest"),
        ({"format_version": 1, "manifest": {}, "arrays": {"x": {}}}, "not as the manifest"),
    ],
)
def test_manifest_of_another_shape_is_refused(tmp_path, document, message):
    header = {"__metadata__": {"ecomrec": sealed(document)}}
    data = b""
    if document.get("arrays"):
        header["x"] = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
        data = b"a"
    put(tmp_path / "model", header, data)
    with pytest.raises(FileFormatError, match=message):
        read(tmp_path / "model")


# --- files that are something else


def test_file_of_a_later_format_says_to_upgrade(tmp_path):
    document = {"format_version": 2, "whatever": []}
    put(tmp_path / "model", {"__metadata__": {"ecomrec": json.dumps(document)}}, b"")
    message = r"format version 2; this ecomrec reads up to 1\. Install a newer"
    with pytest.raises(FileFormatError, match=message):
        read(tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty. Name a file that model.save wrote"),
        (b"user_id,item_id\nu1,tea\n", "its 23 bytes are no saved model. Name a file"),
        (b"PK\x03\x04" + bytes([200] * 50), "looks like a zip archive or npz"),
        (b"\x1f\x8b" + bytes([200] * 50), "looks like gzip"),
        (b"PAR1" + bytes([200] * 50), "looks like Parquet"),
    ],
    ids=["empty", "text", "zip", "gzip", "parquet"],
)
def test_foreign_file_is_refused_by_kind(tmp_path, content, message):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(FileFormatError, match=f"Cannot read '.*model': .*{message}"):
        read(tmp_path / "model")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_refused_and_never_run(tmp_path, protocol):
    (tmp_path / "model").write_bytes(pickle.dumps(Bomb(tmp_path / "boom"), protocol))
    with pytest.raises(FileFormatError, match="no saved model"):
        read(tmp_path / "model", verify=True)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["none", "another"])
def test_safetensors_file_of_others_is_refused(tmp_path, metadata):
    save_file({"x": np.zeros(2)}, tmp_path / "model", metadata=metadata)
    with pytest.raises(FileFormatError, match="safetensors file without a manifest of ecomrec"):
        read(tmp_path / "model")


def test_folder_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="it is a folder or device, not a file"):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_is_neither_read_nor_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileFormatError, match="folder or device"):
        read(pipe)
    with pytest.raises(FileExistsError, match="No regular file; choose another name"):
        write(pipe, {}, {})
    assert pipe.is_fifo()


def test_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="model"):
        read(tmp_path / "model")


# --- writing


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Create this folder first.*nowhere"):
        write(tmp_path / "nowhere" / "model", {}, {})


def test_folder_is_never_replaced(tmp_path):
    with pytest.raises(FileExistsError, match="No regular file"):
        write(tmp_path, {}, {})


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids=oct)
def test_new_file_follows_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "model", {}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o440], ids=oct)
def test_replaced_file_keeps_its_permissions(saved, mode):
    saved.chmod(mode)
    write(saved, {}, {})
    assert read(saved) == ({}, {})
    assert stat.S_IMODE(saved.stat().st_mode) == mode


def test_link_stays_a_link_to_the_new_model(saved):
    link = saved.with_name("current")
    link.symlink_to(saved.name)
    write(link, {"k": 1}, {})
    assert link.is_symlink()
    assert read(saved) == ({"k": 1}, {})


def test_name_as_long_as_the_system_allows_can_be_saved(tmp_path):
    write(tmp_path / ("a" * 255), {}, {})
    assert read(tmp_path / ("a" * 255)) == ({}, {})


def test_relative_name_is_saved_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("model", {}, {})
    assert (tmp_path / "model").is_file()


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be synced elsewhere")
def test_data_are_synced_before_the_rename_and_the_folder_after(saved, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor):
        facts = os.fstat(descriptor)
        steps.append("sync folder" if stat.S_ISDIR(facts.st_mode) else f"sync {facts.st_size > 9}")
        fsync(descriptor)

    def watched_replace(self, target):
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write(saved, {}, {})
    assert steps == ["sync True", "rename", "sync folder"]


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be synced elsewhere")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_only_a_folder_that_cannot_sync_at_all_is_excused(saved, monkeypatch, code):
    fsync = os.fsync

    def failing(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, "no sync")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    if code == errno.EIO:
        with pytest.raises(OSError, match="no sync"):
            write(saved, {}, {})
    else:
        write(saved, {}, {})


@pytest.mark.parametrize("failure", [OSError("no sync"), KeyboardInterrupt()], ids=repr)
def test_failed_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch, failure):
    def fail(descriptor):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(failure)):
        write(saved, {}, {})
    assert_same_arrays(read(saved, verify=True)[1], ARRAYS)
    assert list(saved.parent.iterdir()) == [saved]


LIMITED = """
import resource, sys
import numpy as np
from ecomrec.persistence import write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write(sys.argv[1], {}, {"x": np.zeros(100_000)})
except OSError as error:
    print(error.errno, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on file sizes stands for a full disk")
def test_full_disk_leaves_the_old_file_and_nothing_else(saved):
    output, _ = python(LIMITED, saved).communicate(timeout=60)
    assert output.startswith(f"{errno.EFBIG} ")
    assert "Cannot write the model" in output
    assert str(saved) in output
    assert_same_arrays(read(saved, verify=True)[1], ARRAYS)
    assert list(saved.parent.iterdir()) == [saved]


ENDLESS = """
import sys
import numpy as np
from ecomrec.persistence import write
n = int(sys.argv[2])
while True:
    n += 1
    write(sys.argv[1], {"n": n}, {"x": np.full(250_000, n)})
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_writer_never_leaves_an_unreadable_file(tmp_path):
    path = tmp_path / "model"
    write(path, {"n": 0}, {"x": np.full(250_000, 0)})
    last = 0
    for reads in (3, 5, 9, 14, 20, 31, 44, 60):
        writer = python(ENDLESS, path, last)
        try:
            started = last
            while last == started or reads > 0:
                manifest, arrays = read(path, verify=True, mmap=reads % 2 == 0)
                assert manifest["n"] >= last
                assert np.all(arrays["x"] == manifest["n"])
                reads -= last > started
                last = manifest["n"]
                assert writer.poll() is None
        finally:
            writer.kill()
            writer.communicate()
        last = read(path, verify=True)[0]["n"]
    assert all(p == path or p.name.startswith(".ecomrec-") for p in tmp_path.iterdir())
    write(path, {"n": "after"}, {})
    assert read(path, verify=True) == ({"n": "after"}, {})
