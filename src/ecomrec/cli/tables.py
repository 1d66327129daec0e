"""CSV and Parquet files: which columns there are, and those that are wanted."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecomrec._optional import require
from ecomrec.cli.columns import GAPS
from ecomrec.cli.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

CSV, TSV, PARQUET = "CSV", "TSV", "Parquet"
_FORMATS = {".csv": CSV, ".tsv": TSV, ".parquet": PARQUET, ".pq": PARQUET}
_SEPARATORS = ",;\t|"


def file_format(path: Path) -> str:
    """Tell the format by the name; a ``.gz`` behind ``.csv`` or ``.tsv`` is fine."""
    name = path.name.lower()
    extension = Path(name.removesuffix(".gz")).suffix
    found = _FORMATS.get(extension)
    if found is None or (found == PARQUET and name.endswith(".gz")):
        raise InputError(
            f"cannot tell the format of {str(path)!r} by its name. Files end in .csv, .tsv "
            "(either may be .gz) or .parquet."
        )
    return found


def require_parquet(path: Path) -> Any:
    """Import what reads and writes Parquet, or say what to install."""
    try:
        require("pyarrow", "parquet")
    except ImportError as error:
        raise InputError(f"{path} is a Parquet file. {error}, or use CSV.") from error
    return import_module("pyarrow.parquet")


@dataclass(frozen=True)
class TableFile:
    """A table that has not been read yet.

    Attributes
    ----------
    path : Path
    columns : list of str
        As the file has them.
    separator : str
        Of a CSV file; empty for Parquet.
    """

    path: Path
    columns: list[str]
    separator: str

    @property
    def is_text(self) -> bool:
        """Whether the file has text only, no types."""
        return bool(self.separator)

    def pick(self, name: str, option: str) -> str:
        """Return a column that has to be there; the message lists those that are."""
        if self.columns.count(name) == 1:
            return name
        if name in self.columns:
            raise InputError(f"{self.path} has more than one column {name!r}. Rename one of them.")
        near = get_close_matches(name.lower(), [column.lower() for column in self.columns], n=1)
        near = [column for column in self.columns if near and column.lower() == near[0]]
        guess = f" Did you mean {near[0]!r}?" if near else ""
        listing = ", ".join(map(repr, self.columns))
        raise InputError(
            f"{self.path} has no column {name!r}. Columns found: {listing}.{guess} The first line "
            f"holds the names; {option} NAME says which column it is."
            if self.is_text
            else f"{self.path} has no column {name!r}. Columns found: {listing}.{guess} "
            f"{option} NAME says which column it is."
        )

    def read(self, columns: Sequence[str], text: Sequence[str]) -> pd.DataFrame:
        """Read some columns; those in `text` come from a CSV file as they are written there."""
        if self.is_text:
            table = _read_csv(self, text)[list(columns)]
        else:
            table = _read_parquet(self.path, columns)
        if not len(table):
            raise InputError(f"{self.path} has column names but no rows.")
        return table.copy(deep=False)


def open_table(name: str) -> TableFile:
    """Find a file, its format and its columns."""
    path = Path(name)
    kind = file_format(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file.")
    if not path.exists():
        raise InputError(f"there is no file {path}.")
    if kind == PARQUET:
        parquet = require_parquet(path)
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty.")
        return TableFile(path, _parquet_columns(parquet, path), "")
    lines = iter(_first_lines(path))
    header = next((line for line in lines if line.strip()), "")
    if not header:
        raise InputError(f"{path} is empty.")
    separator = "\t" if kind == TSV else max(_SEPARATORS, key=header.count)
    names = next(csv.reader(io.StringIO(header), delimiter=separator, skipinitialspace=True))
    return TableFile(path, [name.strip() for name in names], separator)


def _first_lines(path: Path) -> list[str]:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return [line for _, line in zip(range(20), file, strict=False)]
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error


def _read_csv(file: TableFile, text: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    # Columns that occur twice get names of their own; `pick` never hands them out.
    names: list[str] = []
    for column in file.columns:
        names.append(f"{column} {len(names)}" if column in names else column)
    kinds = {name: str for name in names if name in text}
    # "NA" and "null" are ids like any others: in text only a field without anything is a gap.
    gaps = {name: [""] if name in kinds else GAPS for name in names}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                file.path,
                sep=file.separator,
                header=0,
                names=names,
                dtype=kinds,
                na_values=gaps,
                keep_default_na=False,
                low_memory=len(kinds) == len(names),
                index_col=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{file.path} is not a table with {len(names)} columns: {reason.rstrip('.')}. Values "
            f"that contain {file.separator!r} must be quoted."
        ) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(file.path, error) from error


def _parquet_columns(parquet: Any, path: Path) -> list[str]:
    from pyarrow.lib import ArrowException

    try:
        return list(parquet.read_schema(path).names)
    except ArrowException as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}.") from error


def _read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    from pyarrow.lib import ArrowException

    parquet = require_parquet(path)
    try:
        table: pd.DataFrame = parquet.read_table(path, columns=list(columns)).to_pandas()
    except ArrowException as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}.") from error
    return table.reset_index(drop=True)[list(columns)]


def _not_utf8(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"{path} is not UTF-8 text: {error.reason} (byte {error.start}). Save it as UTF-8."
    )
