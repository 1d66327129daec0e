import errno
import hashlib
import hmac
import json
import os
import stat
import struct
import sys

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import ecomrec
from ecomrec import persistence
from ecomrec.base import BaseRecommender
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.content import EmbeddingRecommender, SearchIndex
from ecomrec.exceptions import DecryptionError, FileFormatError
from ecomrec.hybrid import Blend
from ecomrec.privacy import (
    KeyFile,
    KeyFromEnvironment,
    KeyRing,
    Passphrase,
    load_encrypted,
    rewrap,
    save_encrypted,
)
from ecomrec.privacy.storage import _sealed
from ecomrec.privacy.storage import encrypted as storage

KEY = bytes(range(32))
EVENTS = pd.DataFrame(
    {"user_id": ["ann", "ann", "bob", "cleo"], "item_id": ["tea", "mug", "tea", "pen"]}
)
HEADER = struct.Struct(">8sHI")


@pytest.fixture
def ring():
    return KeyRing({"k1": KEY}, active="k1")


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(_sealed, "CHUNK", 512)


@pytest.fixture
def saved(tmp_path, ring, small_chunks):
    """A file of several chunks."""
    path = tmp_path / "shop.enc"
    save_encrypted(Popularity().fit(EVENTS), path, ring)
    return path


def parts_of(path):
    """Take a file apart as the documentation describes it."""
    raw = path.read_bytes()
    magic, version, length = HEADER.unpack(raw[: HEADER.size])
    fixed_end = HEADER.size + length
    fixed = raw[:fixed_end]
    n = int.from_bytes(raw[fixed_end : fixed_end + 4], "big")
    key_end = fixed_end + 4 + n
    return {
        "magic": magic,
        "version": version,
        "header": json.loads(fixed[HEADER.size :]),
        "fixed": fixed,
        "key": json.loads(raw[fixed_end + 4 : key_end]),
        "block": raw[fixed_end:key_end],
        "mac": raw[key_end : key_end + 32],
        "payload": raw[key_end + 32 :],
    }


def derived(key, purpose):
    return hmac.digest(key, b"\0ecomrec " + purpose, "sha256")


def opened_by_hand(path, key=KEY):
    """Decrypt a file from the documented layout alone."""
    parts = parts_of(path)
    wrapped = bytes.fromhex(parts["key"]["wrapped"])
    bound = parts["key"]["key_id"].encode() + b"\0" + hashlib.sha256(parts["fixed"]).digest()
    data_key = AESGCM(derived(key, b"wrap")).decrypt(wrapped[:12], wrapped[12:], bound)
    mac = hmac.digest(derived(data_key, b"header"), parts["fixed"] + parts["block"], "sha256")
    assert parts["mac"] == mac
    step = parts["header"]["chunk_size"] + 16
    chunks = [parts["payload"][at : at + step] for at in range(0, len(parts["payload"]), step)]
    prefix = bytes.fromhex(parts["header"]["nonce_prefix"])
    plain = b""
    for number, chunk in enumerate(chunks):
        nonce = prefix + number.to_bytes(4, "big") + bytes([number == len(chunks) - 1])
        plain += AESGCM(derived(data_key, b"payload")).decrypt(nonce, chunk, parts["fixed"])
    return plain


# What comes back


MODELS = {
    "unfitted": Popularity,
    "fitted": lambda: Popularity().fit(EVENTS),
    "composition": lambda: Blend([("p", Popularity()), ("k", ItemKNN())]).fit(EVENTS),
    "index": lambda: SearchIndex().fit(
        pd.DataFrame({"item_id": ["tea", "mug"], "title": ["Tea", "Mug"]})
    ),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_model_comes_back_whole(tmp_path, ring, make):
    model = make()
    save_encrypted(model, tmp_path / "shop.enc", ring)
    again = load_encrypted(tmp_path / "shop.enc", ring)
    assert repr(again) == repr(model)
    model.save(tmp_path / "one")
    again.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_encoder_that_is_an_object_stays_out(tmp_path, ring):
    items = pd.DataFrame({"item_id": ["tea", "mug", "pen"], "title": ["Tea", "Mug", "Pen"]})
    model = EmbeddingRecommender(encoder=lambda texts: np.ones((len(texts), 2), np.float32))
    model.fit(EVENTS, items=items)
    save_encrypted(model, tmp_path / "shop.enc", ring)
    assert load_encrypted(tmp_path / "shop.enc", ring).encoder == "given"


class Own(BaseRecommender):
    _learned_types = ()

    def _fit(self, shop, sides):
        return None


def test_class_of_ones_own_comes_back(tmp_path, ring):
    save_encrypted(Own(), tmp_path / "own.enc", ring)
    with pytest.raises(FileFormatError, match="none of this library's estimators"):
        load_encrypted(tmp_path / "own.enc", ring)
    assert isinstance(load_encrypted(tmp_path / "own.enc", ring, kind=Own), Own)
    with pytest.raises(FileFormatError, match="holds a Own, not a Popularity"):
        load_encrypted(tmp_path / "own.enc", ring, kind=Popularity)


def test_what_is_no_estimator_is_refused(tmp_path, ring):
    with pytest.raises(TypeError, match="takes an estimator of this library; got dict"):
        save_encrypted({}, tmp_path / "shop.enc", ring)


# Format


def test_file_opens_by_the_documented_layout(saved):
    parts = parts_of(saved)
    assert (parts["magic"], parts["version"]) == (b"\x93ECOMENC", 1)
    assert parts["header"]["algorithm"] == "AES-256-GCM-STREAM"
    assert parts["key"]["key_id"] == "k1"
    assert len(parts["payload"]) > 3 * (512 + 16)
    found = safetensors.numpy.load(opened_by_hand(saved))
    assert {array.dtype.kind for array in found.values()} <= set("iufb")


def test_plain_form_is_what_save_writes(saved, tmp_path, ring):
    plain = tmp_path / "plain"
    plain.write_bytes(opened_by_hand(saved))
    kept = ecomrec.load(plain, verify=True)
    Popularity().fit(EVENTS).save(tmp_path / "direct")
    kept.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "direct").read_bytes()


def test_bytes_of_the_format_stay_the_same(tmp_path, ring, monkeypatch):
    # Fixed "random" bytes and payload: any change of the layout needs a new version.
    counter = iter(range(1000))
    monkeypatch.setattr(os, "urandom", lambda n: bytes([next(counter)]) * n)
    monkeypatch.setattr(_sealed, "CHUNK", 5)
    monkeypatch.setattr(persistence, "encoded", lambda *_: [b"twelve ", b"bytes"])
    save_encrypted(Popularity(), tmp_path / "shop.enc", ring)
    assert hashlib.sha256((tmp_path / "shop.enc").read_bytes()).hexdigest() == (
        "19bd5542ec271b1a3ed8503719f14fb93c3f84279b950d01ce14d529bad13d66"
    )
    assert opened_by_hand(tmp_path / "shop.enc") == b"twelve bytes"


@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 9, 10, 11])
def test_payload_of_any_length_comes_back(tmp_path, ring, monkeypatch, n):
    monkeypatch.setattr(_sealed, "CHUNK", 5)
    monkeypatch.setattr(
        persistence, "encoded", lambda *_: [bytes(range(n))[:3], bytes(range(n))[3:]]
    )
    monkeypatch.setattr(
        persistence, "decoded", lambda payload, verify: ({"n": payload.tobytes()}, {})
    )
    monkeypatch.setattr(storage, "restored", lambda path, manifest, arrays: manifest["n"])
    path = tmp_path / "shop.enc"
    save_encrypted(Popularity(), path, ring)
    assert load_encrypted(path, ring) == bytes(range(n))
    assert len(parts_of(path)["payload"]) == n + 16 * max(1, -(-n // 5))


@given(
    st.dictionaries(
        st.sampled_from(["a", "b.c", "d"]),
        arrays_of.arrays(
            st.sampled_from(["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8"]),
            arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
    )
)
def test_parts_are_a_file_that_safetensors_and_we_read(arrays):
    payload = b"".join(bytes(part) for part in persistence.encoded({"k": 1}, arrays))
    theirs = safetensors.numpy.load(payload)
    manifest, ours = persistence.decoded(np.frombuffer(payload, np.uint8).copy(), verify=True)
    assert manifest == {"k": 1}
    for name, array in arrays.items():
        for found in (ours[name], theirs[name]):
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert found.tobytes() == array.tobytes()


def test_two_files_have_nothing_in_common(tmp_path, ring):
    for name in ("one", "two"):
        save_encrypted(Popularity().fit(EVENTS), tmp_path / name, ring)
    one, two = parts_of(tmp_path / "one"), parts_of(tmp_path / "two")
    assert one["header"]["nonce_prefix"] != two["header"]["nonce_prefix"]
    assert one["key"]["wrapped"] != two["key"]["wrapped"]
    assert one["payload"] != two["payload"]


def test_no_plain_word_is_in_the_file_or_was_in_its_folder(tmp_path, ring, monkeypatch):
    seen = []
    replace_draft = os.replace

    def watch(source, target):
        seen.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        replace_draft(source, target)

    monkeypatch.setattr("pathlib.Path.replace", lambda self, target: watch(self, target))
    save_encrypted(Popularity().fit(EVENTS), tmp_path / "shop.enc", ring)
    assert seen
    for raw in [*seen, (tmp_path / "shop.enc").read_bytes()]:
        for word in (b"ann", b"tea", b"Popularity", b"item_ids", KEY):
            assert word not in raw


# Refusals


def test_every_changed_byte_is_refused(saved, ring):
    raw = saved.read_bytes()
    begin = len(raw) - len(parts_of(saved)["payload"])
    for place in range(len(raw)):
        # 0x20 would turn small letters of JSON and of hexadecimal numbers into capitals.
        for flip in (1, 0x20, 0x80) if place < begin else (1,):
            changed = bytearray(raw)
            changed[place] ^= flip
            saved.write_bytes(changed)
            with pytest.raises(FileFormatError):
                load_encrypted(saved, ring)


def test_every_truncation_is_refused(saved, ring):
    raw = saved.read_bytes()
    for length in range(len(raw)):
        saved.write_bytes(raw[:length])
        with pytest.raises(FileFormatError):
            load_encrypted(saved, ring)


def chunks_of(path):
    payload, step = parts_of(path)["payload"], 512 + 16
    return [payload[at : at + step] for at in range(0, len(payload), step)]


@pytest.mark.parametrize(
    "change",
    [
        lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
        lambda chunks: [chunks[0], *chunks],
        lambda chunks: [*chunks[:2], *chunks[3:]],
        lambda chunks: chunks[:-1],
        lambda chunks: chunks[:1],
        lambda chunks: [*chunks, b"\0"],
        lambda chunks: [*chunks, bytes(16)],
        lambda chunks: [*chunks, chunks[-1]],
        lambda chunks: [*chunks[:-1], chunks[0]],
        lambda chunks: [chunks[-1]],
        lambda chunks: [],
    ],
    ids=["swapped", "doubled", "dropped", "cut", "first", "byte", "tag", "twice", "other", "last",
         "none"],
)  # fmt: skip
def test_chunks_in_another_order_or_number_are_refused(saved, ring, change):
    chunks = chunks_of(saved)
    head = saved.read_bytes()[: -len(b"".join(chunks))]
    saved.write_bytes(head + b"".join(change(chunks)))
    with pytest.raises(DecryptionError, match=r"shop.enc': .*Restore it from a copy"):
        load_encrypted(saved, ring)


@pytest.mark.parametrize("part", ["fixed", "block", "mac", "payload", "block+mac", "head"])
def test_parts_of_another_file_are_refused(saved, ring, tmp_path, part):
    other = tmp_path / "other.enc"
    save_encrypted(Popularity().fit(EVENTS), other, ring)
    names = {"block+mac": ["block", "mac"], "head": ["fixed", "block", "mac"]}.get(part, [part])
    mixed = parts_of(saved) | {name: parts_of(other)[name] for name in names}
    saved.write_bytes(b"".join(mixed[n] for n in ("fixed", "block", "mac", "payload")))
    with pytest.raises(DecryptionError):
        load_encrypted(saved, ring)


def rewritten(path, *, header=None, key=None, version=1):
    parts = parts_of(path)
    text = json.dumps(header or parts["header"], sort_keys=True, separators=(",", ":")).encode()
    block = json.dumps(key or parts["key"], sort_keys=True, separators=(",", ":")).encode()
    fixed = HEADER.pack(parts["magic"], version, len(text)) + text
    path.write_bytes(
        fixed + len(block).to_bytes(4, "big") + block + parts["mac"] + parts["payload"]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_size": 256},
        {"chunk_size": 0},
        {"chunk_size": 2**40},
        {"chunk_size": True},
        {"chunk_size": "512"},
        {"nonce_prefix": "00" * 7},
        {"nonce_prefix": "00"},
        {"nonce_prefix": "zz" * 7},
        {"algorithm": "AES-128-GCM-STREAM"},
        {"more": 1},
    ],
    ids=str,
)
def test_other_headers_are_refused(saved, ring, change):
    rewritten(saved, header=parts_of(saved)["header"] | change)
    with pytest.raises(DecryptionError):
        load_encrypted(saved, ring)


def test_other_versions_say_what_to_do(saved, ring):
    rewritten(saved, version=2)
    with pytest.raises(FileFormatError, match=r"format version 2; .* Install a newer ecomrec"):
        load_encrypted(saved, ring)


def test_the_name_of_the_key_cannot_be_changed(saved, ring):
    ring.add("k2", bytes(range(1, 33)))
    rewritten(saved, key=parts_of(saved)["key"] | {"key_id": "k2"})
    with pytest.raises(DecryptionError, match="the key 'k2' does not open it"):
        load_encrypted(saved, ring)


def test_damage_before_encryption_is_seen_by_checksum(tmp_path, ring, monkeypatch):
    manifest, arrays = Popularity().fit(EVENTS)._packed()
    parts = [bytearray(part) for part in persistence.encoded(manifest, arrays)]
    next(part for part in parts[2:] if part)[0] ^= 1
    monkeypatch.setattr(persistence, "encoded", lambda *_: parts)
    save_encrypted(Popularity(), tmp_path / "shop.enc", ring)
    with pytest.raises(FileFormatError, match="does not match its checksum"):
        load_encrypted(tmp_path / "shop.enc", ring)


def test_plain_and_encrypted_files_know_each_other(saved, tmp_path, ring):
    Popularity().save(tmp_path / "plain")
    with pytest.raises(FileFormatError, match=r"no encrypted model.*ecomrec.load reads"):
        load_encrypted(tmp_path / "plain", ring)
    with pytest.raises(
        FileFormatError, match=r"an encrypted model, which ecomrec.privacy.load_enc"
    ):
        ecomrec.load(saved)


def test_missing_files_and_folders_are_named(tmp_path, ring):
    with pytest.raises(FileNotFoundError):
        load_encrypted(tmp_path / "none", ring)
    with pytest.raises(FileFormatError, match="a folder or device"):
        load_encrypted(tmp_path, ring)
    with pytest.raises(FileNotFoundError, match="Create this folder first"):
        save_encrypted(Popularity(), tmp_path / "none" / "shop.enc", ring)


def test_failing_write_leaves_the_old_file(saved, ring, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_encrypted(Popularity(), saved, ring)
    with pytest.raises(OSError, match="no space"):
        rewrap(saved, ring, ring)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["shop.enc"]


def test_permissions_of_the_file_stay(saved, ring):
    saved.chmod(0o640)
    save_encrypted(Popularity(), saved, ring)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o640
    rewrap(saved, ring, ring)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o640


def test_without_cryptography_the_error_says_what_to_install(tmp_path, ring, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setattr(
        "ecomrec._optional.import_module",
        lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name.split(".")[0])),
    )
    wanted = r"cryptography is needed here.*pip install 'ecomrec\[privacy\]'"
    with pytest.raises(ImportError, match=wanted):
        save_encrypted(Popularity(), tmp_path / "shop.enc", ring)
    with pytest.raises(ImportError, match=wanted):
        load_encrypted(tmp_path / "shop.enc", ring)
    assert not list(tmp_path.iterdir())


# Keys


def test_rewrap_changes_the_key_and_no_byte_of_the_payload(saved, ring):
    before = parts_of(saved)
    new = KeyRing({"k7": bytes(range(100, 132))}, active="k7")
    rewrap(saved, ring, new)
    after = parts_of(saved)
    assert after["payload"] == before["payload"]
    assert after["fixed"] == before["fixed"]
    assert after["key"]["key_id"] == "k7"
    assert load_encrypted(saved, new).item_ids_.tolist() == ["mug", "pen", "tea"]
    with pytest.raises(
        DecryptionError, match=r"'k1' is not in this ring|'k7' is not in this ring"
    ):
        load_encrypted(saved, ring)


def test_rewrap_of_a_changed_head_is_refused_and_changes_nothing(saved, ring):
    raw = bytearray(saved.read_bytes())
    place = raw.index(parts_of(saved)["mac"])
    raw[place] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(DecryptionError, match="does not belong to its key"):
        rewrap(saved, ring, ring)
    assert saved.read_bytes() == bytes(raw)


def test_rewrap_leaves_what_was_saved_meanwhile(saved, ring):
    class Slow:
        """Whose file is saved anew while it wraps."""

        def wrap(self, data_key, context):
            save_encrypted(ItemKNN(), saved, ring)
            return ring.wrap(data_key, context)

        unwrap = ring.unwrap

    with pytest.raises(OSError, match="Another process has replaced the file") as caught:
        rewrap(saved, ring, Slow())
    assert caught.value.errno == errno.EBUSY
    assert isinstance(load_encrypted(saved, ring), ItemKNN)


def test_a_provider_that_is_none_is_refused_before_anything_is_done(saved, ring, tmp_path):
    before = saved.read_bytes()
    for call in (
        lambda: save_encrypted(Popularity(), tmp_path / "new", "secret"),
        lambda: load_encrypted(tmp_path / "gone", KEY),
        lambda: rewrap(saved, ring, KeyRing),
        lambda: rewrap(saved, None, ring),
    ):
        with pytest.raises(TypeError, match="key_provider must have wrap and unwrap"):
            call()
    assert saved.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["shop.enc"]


@pytest.mark.parametrize("kind", ["Popularity", Popularity(), dict])
def test_kind_is_a_class_of_recommenders(saved, ring, kind):
    with pytest.raises(TypeError, match="kind must be a class of recommenders"):
        load_encrypted(saved, ring, kind=kind)


def test_links_that_lead_round_in_a_circle_are_an_os_error(tmp_path, ring):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for call in (
        lambda: save_encrypted(Popularity(), tmp_path / "a", ring),
        lambda: Popularity().save(tmp_path / "a"),
        lambda: ring.write(tmp_path / "a"),
    ):
        with pytest.raises(OSError, match="symbolic links") as caught:
            call()
        assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("size", [200 << 30, 5 << 40])
def test_a_file_with_a_hole_of_any_size_behind_it_is_refused_at_once(saved, ring, size):
    try:
        os.truncate(saved, size)
    except OSError:
        pytest.skip("this file system has no files of that size")
    with pytest.raises(DecryptionError, match=r"does not verify|longer than any"):
        load_encrypted(saved, ring)


def test_a_deleted_key_opens_nothing(saved, ring):
    ring.rotate()
    assert load_encrypted(saved, ring).__sklearn_is_fitted__()
    ring.delete("k1")
    with pytest.raises(DecryptionError, match="the key 'k1' was deleted"):
        load_encrypted(saved, ring)


def test_key_files_and_variables_hold_one_key(tmp_path, monkeypatch):
    key = KeyFile.create(tmp_path / "models.key")
    assert stat.S_IMODE((tmp_path / "models.key").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError, match="keys are never overwritten"):
        KeyFile.create(tmp_path / "models.key")
    digits = (tmp_path / "models.key").read_text().strip()
    path = tmp_path / "shop.enc"
    save_encrypted(Popularity(), path, key)
    monkeypatch.setenv("MODEL_KEY", digits.upper())
    assert isinstance(load_encrypted(path, KeyFromEnvironment("MODEL_KEY")), Popularity)
    (tmp_path / "raw.key").write_bytes(bytes.fromhex(digits))
    assert isinstance(load_encrypted(path, KeyFile(tmp_path / "raw.key")), Popularity)
    assert digits not in repr(key) + repr(KeyFromEnvironment("MODEL_KEY"))
    other = KeyFile.create(tmp_path / "other.key")
    with pytest.raises(
        DecryptionError, match=r"encrypted with the key '\w{16}'; KeyFile\(.*holds"
    ):
        load_encrypted(path, other)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"sesame",
        b"00" * 31,
        b"g" * 64,
        bytes(31),
        b"00" * 32,
        b"my password is hunter2 + my dog\n",
        b"ab" * 5 + b"0123456789abcdef" * 4,
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path, content, monkeypatch):
    (tmp_path / "models.key").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"hexadecimal digits or 32 bytes|different bytes|is text"
    ) as caught:
        save_encrypted(Popularity(), tmp_path / "shop.enc", KeyFile(tmp_path / "models.key"))
    assert repr(content)[2:-1] not in str(caught.value) or not content
    if b"\0" not in content:
        monkeypatch.setenv("MODEL_KEY", content.decode())
        with pytest.raises(ValueError, match=r"hexadecimal digits; |different bytes"):
            save_encrypted(Popularity(), tmp_path / "shop.enc", KeyFromEnvironment("MODEL_KEY"))
    assert not (tmp_path / "shop.enc").exists()


def test_a_new_key_file_survives_a_power_cut(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def noted(number):
        synced.append(stat.S_ISDIR(os.fstat(number).st_mode))
        sync(number)

    monkeypatch.setattr(os, "fsync", noted)
    KeyFile.create(tmp_path / "models.key")
    assert synced == [False, True]


def test_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MODEL_KEY", raising=False)
    with pytest.raises(LookupError, match=r"'MODEL_KEY' is not set. Set it to 64 hexadecimal"):
        save_encrypted(Popularity(), tmp_path / "shop.enc", KeyFromEnvironment("MODEL_KEY"))


def test_passphrases_open_what_they_closed(tmp_path, ring):
    path = tmp_path / "shop.enc"
    save_encrypted(Popularity(), path, Passphrase("f\u00fcnf lange Worte hier drin"))
    # The same letters, written as u and a diaeresis.
    assert isinstance(
        load_encrypted(path, Passphrase("fu\u0308nf lange Worte hier drin")), Popularity
    )
    with pytest.raises(DecryptionError, match="the passphrase is wrong"):
        load_encrypted(path, Passphrase("five long words in here"))
    with pytest.raises(DecryptionError, match="is not in this ring"):
        load_encrypted(path, ring)
    save_encrypted(Popularity(), path, ring)
    with pytest.raises(DecryptionError, match="with the key 'k1', not with a passphrase"):
        load_encrypted(path, Passphrase("five long words in here"))


def test_key_of_a_passphrase_is_scrypts():
    wanted = hashlib.scrypt(
        b"five long words", salt=b"salt" * 4, n=2**17, r=8, p=1, maxmem=2**28, dklen=32
    )
    assert Passphrase("five long words")._key(b"salt" * 4) == wanted


def test_short_passphrases_are_refused_and_none_is_shown():
    with pytest.raises(ValueError, match=r"at least 12 characters.*this one has 7, 5") as caught:
        Passphrase("sesame!")
    for text in ("a" * 12, " " * 12, "e\u0301" * 6, "abcd" * 5):
        with pytest.raises(ValueError, match="5 of them different"):
            Passphrase(text)
    assert "sesame" not in str(caught.value)
    assert "words" not in repr(Passphrase("five long words"))
    with pytest.raises(TypeError, match="a passphrase is text; got bytes"):
        Passphrase(b"five long words")


class Service:
    """A key service: keeps the keys itself, as a KMS does."""

    def __init__(self):
        self.kept = {}

    def wrap(self, data_key, context):
        handle = os.urandom(8)
        self.kept[handle] = (data_key, context)
        return "service/é", handle

    def unwrap(self, key_id, wrapped, context):
        assert key_id == "service/é"
        data_key, bound = self.kept[wrapped]
        if bound != context:
            raise DecryptionError("the service says no.")
        return data_key


def test_key_services_wrap_data_keys(tmp_path, ring):
    service, path = Service(), tmp_path / "shop.enc"
    save_encrypted(Popularity(), path, service)
    assert isinstance(load_encrypted(path, service), Popularity)
    rewrap(path, service, ring)
    assert isinstance(load_encrypted(path, ring), Popularity)


@pytest.mark.parametrize("given_back", [None, b"short", "x" * 32, bytes(range(32))])
def test_a_service_that_gives_another_key_is_refused(saved, given_back, monkeypatch):
    service = Service()
    monkeypatch.setattr(service, "unwrap", lambda *_: given_back)
    with pytest.raises(DecryptionError, match=r"gave no data key|does not belong to its key"):
        load_encrypted(saved, service)


def test_a_service_that_wraps_nonsense_is_refused(tmp_path, monkeypatch):
    service = Service()
    monkeypatch.setattr(service, "wrap", lambda *_: (b"k1", "wrapped"))
    with pytest.raises(TypeError, match="must return a name as str and the wrapped key as bytes"):
        save_encrypted(Popularity(), tmp_path / "shop.enc", service)
    monkeypatch.setattr(service, "wrap", lambda *_: ("k1", bytes(40_000)))
    with pytest.raises(ValueError, match="40000 bytes; at most 32 kB fit"):
        save_encrypted(Popularity(), tmp_path / "shop.enc", service)
    assert not (tmp_path / "shop.enc").exists()


@pytest.mark.slow
def test_writing_takes_memory_for_one_chunk_only(tmp_path, ring, monkeypatch):
    import tracemalloc

    scores = np.arange(1 << 23, dtype=np.float64)  # 64 MB
    manifest, _ = Popularity()._packed()
    monkeypatch.setattr(Popularity, "_packed", lambda self: (manifest, {"scores": scores}))
    tracemalloc.start()
    save_encrypted(Popularity(), tmp_path / "shop.enc", ring)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16e6
