"""Keyed tokens in place of ids, for exports that can be joined and cannot be looked up."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy._id_bytes import id_bytes
from ecomrec.privacy.exports._tables import (
    listed_ids,
    object_array,
    read_ids,
    read_table,
    with_columns,
)
from ecomrec.privacy.storage.keys import KEY_ID, KeyRing

_TOKEN = re.compile(rf"({KEY_ID}):[a-z2-7]{{26}}")
_TOKEN_BYTES = 16
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)
_PLACES = 2 ** np.arange(4, -1, -1, dtype=np.uint8)
_PERSON = b"ecomrec token 1"


class Pseudonymizer(TransformerMixin, BaseEstimator):
    """Put keyed tokens in place of ids.

    The token of an id is ``k1:`` (the id of the key) and 26 letters and digits: the first 128
    bits of

    ``HMAC-SHA256(key, domain || 0x00 || id)``

    in base32. Who has no key can neither tell the id from the token nor try ids until one fits.
    The same id has the same token in every table of one domain and key, so that these join.

    **Tokens are pseudonyms, not anonymity**: what somebody bought and when can tell who it was,
    and who has the key can find everybody. Pseudonymised data stays personal data.

    Parameters
    ----------
    keys : KeyRing
        The active key makes tokens.
    domain : str
        What the tokens are for: one name for each recipient or purpose. Tables of different
        domains cannot be joined by their tokens.
    method : {"hmac-sha256", "blake2b"}, default="hmac-sha256"
        Both are standards; keyed BLAKE2b is faster. All tables of a domain must use the same.
    columns : sequence of str, default=("user_id",)
        Columns of ids. An id that stands in two of them gets one token.

    See Also
    --------
    KAnonymizer : Rare items and exact times make people recognisable: take them out first.
    risk_report : How recognisable they are.

    Notes
    -----
    Ids are str, int, bytes, UUID, or tuples of these, one type in a column, none missing. Each is
    written with a mark of its type and, inside tuples, of its length: the number 1 and the text
    "1" have different tokens, and no two ids the same input. An integer is the same in every
    width. Should two ids of a column get one token (the chance is n**2 / 2**129 for n ids), an
    error says so.

    `fit` learns nothing. All other columns are left as they are, and so is a pandas index: drop
    what tells who somebody is. A plain hash is no pseudonym: whoever can guess ids, such as
    customer numbers or mail addresses, finds them by trying all of them.

    Cost: one token for each distinct id; 200,000 texts take 0.5 s, with BLAKE2b 0.3 s (one core).

    References
    ----------
    .. [1] Krawczyk, Bellare, Canetti: HMAC: keyed-hashing for message authentication. RFC 2104.
    .. [2] Saarinen, Aumasson: The BLAKE2 cryptographic hash and message authentication code.
       RFC 7693.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import KeyRing, Pseudonymizer
    >>> ring = KeyRing({"k1": bytes(range(32))}, active="k1")  # KeyRing.generate() makes a secret
    >>> events = pd.DataFrame({"user_id": [7, 9, 7], "item_id": ["tea", "tea", "mug"]})
    >>> export = Pseudonymizer(ring, domain="survey 2026").fit_transform(events)
    >>> export["user_id"].nunique(), export["user_id"][0]
    (2, 'k1:...')
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        domain: str,
        method: Literal["hmac-sha256", "blake2b"] = "hmac-sha256",
        columns: Sequence[str] = ("user_id",),
    ) -> None:
        self.keys = keys
        self.domain = domain
        self.method = method
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learned.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Has the columns of ids.
        y : ignored
            For pipelines.

        Returns
        -------
        Pseudonymizer
            This object.
        """
        self._check()
        read_table(X, self.columns)
        return self

    def transform(self, X: Any) -> Any:
        """Give the table with tokens in place of ids.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with the columns of ids.

        Returns
        -------
        table
            A table of the kind given.

        Raises
        ------
        DataError
            Ids are missing or cannot be ids; the message has counts and no ids.
        """
        self._check()
        frame = read_table(X, self.columns)
        made: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            codes, ids = read_ids(frame, column)
            tokens = self.tokens(ids)
            if len(set(tokens.tolist())) != len(ids):
                raise DataError(
                    f"two ids in {column} got the same token, which should never happen. Call "
                    "rotate() on the keys and transform all tables again."
                )
            made[column] = tokens[codes]
        return with_columns(frame, made)

    def tokens(self, ids: Any, *, key_id: str | None = None) -> NDArray[Any]:
        """Give the tokens of some ids.

        Parameters
        ----------
        ids : list, array or Series of ids
            Of any types.
        key_id : str, optional
            Another key than the active one, for what was made with it.

        Returns
        -------
        ndarray of shape (n,), object
        """
        self._check()
        key_id = self.keys.active if key_id is None else key_id
        key = self.keys._secret(key_id)
        start = self.domain.encode("utf-8", "surrogatepass") + b"\0"
        messages = [start + id_bytes(one) for one in listed_ids(ids, "ids")]
        digests = b"".join(_METHODS[self.method](key, messages))
        return object_array(_base32(digests, f"{key_id}:"))

    def matches(self, ids: Any, tokens: Any) -> NDArray[np.bool_]:
        """Whether each token is that of the id beside it, compared in constant time.

        Parameters
        ----------
        ids : list, array or Series of ids
        tokens : list, array or Series of str, of the same length

        Returns
        -------
        ndarray of shape (n,), bool

        Raises
        ------
        LookupError
            A token was made with a key that is not in the ring: nobody can tell.
        """
        raw, given = listed_ids(ids, "ids"), _texts(tokens)
        if len(raw) != len(given):
            raise DataError(f"{len(raw)} ids and {len(given)} tokens do not go together.")
        found = np.zeros(len(raw), dtype=bool)
        for key_id, rows in _by_key(given).items():
            own = self.tokens([raw[row] for row in rows], key_id=key_id)
            for row, token in zip(rows, own.tolist(), strict=True):
                found[row] = hmac.compare_digest(token, given[row])
        return found

    def retokenize(self, tokens: Any, ids: Any) -> NDArray[Any]:
        """Give the tokens under the active key of what has tokens under older ones.

        Parameters
        ----------
        tokens : list, array or Series of str
            Made by this pseudonymizer with any keys.
        ids : list of ids, or mapping of str to id
            All ids that the tokens may stand for, as tokens do not tell them; or which token
            stands for which id, if such a table was kept. Only with the latter can tokens of a
            deleted key be translated.

        Returns
        -------
        ndarray of shape (n,), object

        Raises
        ------
        LookupError
            The key of a token is not in the ring, and `ids` is no mapping.
        UnknownIdError
            No id belongs to a token.
        DataError
            A mapping gives a token to another id than its own, as far as its key still tells.
        """
        self._check()
        given = _texts(tokens)
        distinct = list(dict.fromkeys(given))
        known: dict[str, Any] = {}
        if isinstance(ids, Mapping):
            known = {token: ids[token] for token in distinct if token in ids}
            told = [t for t in known if _key_of(t) in self.keys.ids]
            wrong = int((~self.matches([known[t] for t in told], told)).sum()) if told else 0
            if wrong:
                raise DataError(f"{wrong} of {len(told)} tokens do not belong to their ids.")
        else:
            every = listed_ids(ids, "ids")
            for key_id in _by_key(distinct):
                own = self.tokens(every, key_id=key_id)
                known |= dict(zip(own.tolist(), every, strict=True))
        lost = sum(token not in known for token in distinct)
        if lost:
            raise UnknownIdError(
                f"{lost} of {len(distinct)} tokens belong to none of the ids. Pass all ids, and "
                "the domain and method that the tokens were made with."
            )
        fresh = dict(zip(distinct, self.tokens([known[t] for t in distinct]), strict=True))
        return object_array([fresh[token] for token in given])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _check(self) -> None:
        if not isinstance(self.keys, KeyRing):  # which is not shown: it may be a key
            raise TypeError(
                f"Pseudonymizer: keys must be a KeyRing; got {type(self.keys).__name__}. Make one "
                "with KeyRing.generate(), or of your key with KeyRing({'k1': key}, active='k1')."
            )
        if not isinstance(self.domain, str) or not self.domain or "\0" in self.domain:
            raise ValueError(
                "Pseudonymizer: domain must be a text with something in it and no NUL; "
                f"got {self.domain!r}."
            )
        if self.method not in _METHODS:
            raise ValueError(
                f"Pseudonymizer: method must be one of {sorted(_METHODS)}; got {self.method!r}."
            )
        names = self.columns
        if isinstance(names, str) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError(
                f"Pseudonymizer: columns must be a list of column names; got {names!r}."
            )


def _hmac_sha256(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    keyed = hmac.new(key, digestmod="sha256")  # copied, so that the key is hashed once
    found = []
    for message in messages:
        one = keyed.copy()
        one.update(message)
        found.append(one.digest()[:_TOKEN_BYTES])
    return found


def _blake2b(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    keyed = hashlib.blake2b(key=key, digest_size=_TOKEN_BYTES, person=_PERSON)
    found = []
    for message in messages:
        one = keyed.copy()
        one.update(message)
        found.append(one.digest())
    return found


_METHODS: dict[str, Callable[[bytes, Iterable[bytes]], list[bytes]]] = {
    "hmac-sha256": _hmac_sha256,
    "blake2b": _blake2b,
}


def _base32(digests: bytes, start: str) -> list[str]:
    """Write 16 bytes after 16 bytes as texts of 26 lower-case letters and digits."""
    n = len(digests) // _TOKEN_BYTES
    bits = np.zeros((n, 130), dtype=np.uint8)
    raw = np.frombuffer(digests, dtype=np.uint8).reshape(n, _TOKEN_BYTES)
    bits[:, :128] = np.unpackbits(raw, axis=1)
    text = _LETTERS[bits.reshape(-1, 5) @ _PLACES].tobytes().decode("ascii")
    return [start + text[at : at + 26] for at in range(0, 26 * n, 26)]


def _texts(tokens: Any) -> list[str]:
    found = listed_ids(tokens, "tokens")
    strange = sum(not isinstance(t, str) or not _TOKEN.fullmatch(t) for t in found)
    if strange:
        raise DataError(f"{strange} of {len(found)} tokens are no tokens of a Pseudonymizer.")
    return found


def _key_of(token: str) -> str:
    return token.partition(":")[0]


def _by_key(tokens: Sequence[str]) -> dict[str, list[int]]:
    """Give the places of tokens by the key that made them."""
    places: dict[str, list[int]] = {}
    for place, token in enumerate(tokens):
        places.setdefault(_key_of(token), []).append(place)
    return places
