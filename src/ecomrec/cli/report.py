"""A comparison as text for a terminal of 80 columns, and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecomrec.evaluation import Comparison


def comparison_text(result: Comparison) -> str:
    """Lay the comparison out: for each variant and metric, a line for each model."""
    table = result.to_frame()
    width = max(len(name) for name in table.index)
    blocks = [part for _, part in table.groupby("variant", sort=False)]
    lines = []
    for part in blocks:
        variant, n_users = part["variant"].iloc[0], int(part["n_users"].iloc[0])
        lines.append(f"{variant}: {n_users:,} users, {result.k} items for each")
        for metric in result.metrics:
            head = f"{metric}@{result.k}"
            lines.append(
                f"  {head:<{width + 4}}  mean  95 % interval      against {result.baseline}"
            )
            for model, row in part.iterrows():
                mean, low, high = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
                interval = f"{mean:.4f} [{low:.4f}, {high:.4f}]"
                lines.append(
                    f"    {model:<{width}}  {interval}   {_verdict(row, metric)}".rstrip()
                )
        lines.append("")
    lines.append(f"  {'':<{width}}       fit   recommend   share of items shown")
    lines += [
        f"    {model:<{width}}  {row['fit_seconds']:6.2f} s  {row['recommend_seconds']:6.2f} s"
        f"   {row['coverage']:6.1%}"
        for model, row in blocks[0].iterrows()
    ]
    return "\n".join(lines) + "\n"


def comparison_record(result: Comparison) -> list[dict[str, Any]]:
    """Return the table as JSON can hold it: a dict for each model and variant, NaN as None."""
    rows = result.to_frame().reset_index(names="model").to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _verdict(row: Any, metric: str) -> str:
    verdict = str(row[f"{metric}_verdict"])
    if verdict == "baseline":
        return ""
    return (
        f"{verdict} {row[f'{metric}_diff']:+.4f} "
        f"[{row[f'{metric}_diff_low']:+.4f}, {row[f'{metric}_diff_high']:+.4f}]"
    )


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
