"""An estimator that holds one frozen state: fitted or not, locks, copies, files."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from ecomrec import persistence
from ecomrec._parallel import ForkLock
from ecomrec._validation import Rule, check_params
from ecomrec._version import __version__
from ecomrec.exceptions import FileFormatError
from ecomrec.state import pack_parameter, unpack_parameter

S = TypeVar("S")


class StatefulEstimator(BaseEstimator, Generic[S]):
    """Base of what is learned, updated and saved as a whole.

    All that is known is one `_state`, which is never changed: the next one is built beside it,
    under `_lock`, and published by one assignment. A subclass writes `_packed_state` and
    `_restored_state`.
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {}
    _state: S

    def save(self, path: str | PathLike[str]) -> None:
        """Write the estimator, fitted or not, to one file that `ecomrec.load` reads.

        The file holds arrays and a manifest, never pickled objects. It is written under another
        name, synced and renamed: a crash leaves the old file whole.

        Parameters
        ----------
        path : str or path
        """
        persistence.write(path, *self._packed())

    @classmethod
    def load(cls, path: str | PathLike[str], *, verify: bool = False, mmap: bool = False) -> Self:
        """Read an estimator of this class; `ecomrec.load` reads any of the library's own.

        Parameters
        ----------
        path : str or path
        verify : bool
            Check every byte against the checksums of the file.
        mmap : bool
            Map the arrays instead of reading them.

        Returns
        -------
        An estimator of this class
        """
        manifest, arrays = persistence.read(path, verify=verify, mmap=mmap)
        if manifest.get("class") != cls.__name__:
            raise FileFormatError(
                f"{path} holds a {persistence.shortened(manifest.get('class'))}, not a "
                f"{cls.__name__}. Use ecomrec.load."
            )
        return cls._unpacked(path, manifest, arrays)

    def _packed(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a file holds: a manifest and arrays."""
        params = {name: pack_parameter(v) for name, v in self.get_params(False).items()}
        manifest: dict[str, Any] = {
            "class": type(self).__name__,
            "library_version": __version__,
            "params": params,
        }
        arrays: dict[str, np.ndarray] = {}
        if self.__sklearn_is_fitted__():
            manifest["state"], arrays = self._packed_state(self._state)
        return manifest, arrays

    @classmethod
    def _unpacked(
        cls, path: str | PathLike[str], manifest: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Self:
        try:
            made = cls(**{n: unpack_parameter(v) for n, v in manifest["params"].items()})
            if "state" in manifest:
                made._state = made._restored_state(manifest["state"], arrays)
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            raise FileFormatError(
                f"{path} does not describe a {cls.__name__} that this version knows: "
                f"{persistence.shortened(error)}"
            ) from error
        return made

    def _packed_state(self, state: S) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """A state as a manifest and arrays."""
        raise NotImplementedError

    def _restored_state(self, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> S:
        """The state that `_packed_state` packed."""
        raise NotImplementedError

    @property
    def _lock(self) -> ForkLock:
        return cast(ForkLock, self.__dict__.setdefault("_write_lock", ForkLock()))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_write_lock", None)
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return "_state" in self.__dict__

    def _check_params(self) -> None:
        check_params(type(self).__name__, self._param_rules, self.get_params(False))

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"This {name} is not fitted yet. Call fit before using it.")

    def _fitted_state(self) -> S:
        self._check_fitted()
        return self._state

    def _attribute(self, name: str) -> S:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{name} exists after fit only.")
        return self._state
