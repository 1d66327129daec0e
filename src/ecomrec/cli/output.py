"""Files that appear whole or not at all."""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from ecomrec.cli.errors import InputError
from ecomrec.cli.tables import PARQUET, TSV, file_format, require_parquet

if TYPE_CHECKING:
    import pandas as pd

# Six digits tell any two float32 scores that matter apart.
_SCORES = "%.6g"


def check_target(name: str) -> Path:
    """Say now, before the work, that a file could not be written."""
    path = Path(name)
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} to. Create it.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file in it.")
    return path


def check_table_target(name: str) -> Path:
    """Say now that a table could not be written: its folder, format, or a missing package."""
    path = check_target(name)
    if file_format(path) == PARQUET:
        require_parquet(path)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a draft to write to, which takes the place of `path` once all has gone well.

    A file there keeps its permissions, a new one follows the umask. What is no regular file, such
    as a pipe, is written to directly.
    """
    target = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(
        prefix=".ecomrec-", dir=target.parent, ignore_cleanup_errors=True
    ) as folder:
        draft = Path(folder, target.name)
        draft.touch()
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o777)
        yield draft
        draft.replace(target)


class TableWriter:
    """Writes a table part by part: to a file that appears at the end, or as CSV to stdout.

    Parameters
    ----------
    path : Path or None
        None is stdout.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._format = "" if path is None else file_format(path)
        self._open = ExitStack()
        self._parquet: Any = None
        self._text: IO[str] = sys.stdout
        self._draft = Path()
        self.n_rows = 0

    def __enter__(self) -> Self:
        if self.path is not None:
            self._draft = self._open.enter_context(whole_file(self.path))
            if self._format != PARQUET:
                opened = gzip.open if self.path.name.lower().endswith(".gz") else open
                file = opened(self._draft, "wt", encoding="utf-8", newline="")
                self._text = self._open.enter_context(file)
        return self

    def __exit__(self, *failure: Any) -> None:
        self._open.__exit__(*failure)

    def write(self, table: pd.DataFrame) -> None:
        """Add rows; every part has the same columns."""
        if self._format == PARQUET:
            self._write_parquet(table)
        else:
            table.to_csv(
                self._text,
                sep="\t" if self._format == TSV else ",",
                index=False,
                header=self.n_rows == 0,
                float_format=_SCORES,
                lineterminator="\n",
            )
        self.n_rows += len(table)

    def _write_parquet(self, table: pd.DataFrame) -> None:
        import pyarrow as pa

        if self._parquet is None:
            part = pa.Table.from_pandas(table, preserve_index=False)
            parquet = require_parquet(self._draft)
            self._parquet = self._open.enter_context(
                parquet.ParquetWriter(self._draft, part.schema, compression="zstd")
            )
        else:
            part = pa.Table.from_pandas(table, self._parquet.schema, preserve_index=False)
        self._parquet.write_table(part)
