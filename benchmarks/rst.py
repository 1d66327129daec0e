"""Pieces of reStructuredText."""

from collections.abc import Iterable, Sequence
from typing import Any


def title(text: str, line: str = "-") -> list[str]:
    """Return a heading."""
    return [text, line * len(text), ""]


def table(rows: Iterable[Sequence[str]], header: bool = True) -> list[str]:
    """Return a list-table; the first row is its head."""
    return [
        ".. list-table::",
        *(["   :header-rows: 1"] if header else []),
        "",
        *(_list_row(row) for row in rows),
        "",
    ]


def machine(conditions: dict[str, Any]) -> str:
    """Return what `measure.conditions` found, in a line."""
    return (
        f"{conditions['cpu']}, {conditions['threads']} threads for everyone; "
        f"Python {conditions['python']}, {listed(conditions['versions'])}"
    )


def listed(versions: dict[str, str]) -> str:
    """Return names and versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _list_row(cells: Sequence[str]) -> str:
    first, *others = cells
    return "\n".join([f"   * - {first}", *(f"     - {cell}".rstrip() for cell in others)])
