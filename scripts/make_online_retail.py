"""Make the shop that ships with the package from the UCI Online Retail transactions.

Usage: python scripts/make_online_retail.py TRANSACTIONS.parquet

TRANSACTIONS.parquet holds the order lines of the original spreadsheet as invoice_no, item_id,
description, quantity, timestamp, unit_price, user_id, country, is_cancellation. What is left out
and changed is listed in online_retail_LICENSE.md, beside the result. The same input gives the
same file.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = Path(__file__).parents[1] / "src/ecomrec/datasets/data/online_retail.npz"

PRODUCT_CODE = r"[0-9]{5}[A-Z]{0,2}"
# Codes that look like products: next day carriage, packing charge, high resolution image.
NO_PRODUCTS = ["23444", "23574", "23702"]


def clean_lines(transactions: pd.DataFrame) -> pd.DataFrame:
    """Order lines of products and known customers; price in pence, quantity positive."""
    lines = transactions.dropna(subset=["user_id", "description"])
    lines = lines.assign(
        item_id=lines["item_id"].str.strip().str.upper(),
        description=lines["description"].str.split().str.join(" "),
        pence=(lines["unit_price"] * 100).round().astype(np.int64),
        quantity=lines["quantity"].abs().astype(np.int64),
        order_id=lines["invoice_no"].str.removeprefix("C").astype(np.int64),
        user_id=lines["user_id"].astype(np.int64),
    )
    is_product = lines["item_id"].str.fullmatch(PRODUCT_CODE) & ~lines["item_id"].isin(NO_PRODUCTS)
    return lines[is_product & (lines["pence"] > 0)]


def merge_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """One event per order and item, oldest order first."""
    lines = lines.assign(paid=lines["pence"] * lines["quantity"])
    merged = lines.groupby(["order_id", "item_id"], as_index=False).agg(
        {"quantity": "sum", "paid": "sum"}
    )
    merged["pence"] = np.rint(merged["paid"] / merged["quantity"]).astype(np.int64)
    orders = lines.groupby("order_id").agg(
        {"timestamp": "min", "user_id": "first", "is_cancellation": "first"}
    )
    merged = merged.join(orders, on="order_id")
    return merged.sort_values(["timestamp", "order_id", "item_id"], ignore_index=True)


def most_frequent(lines: pd.DataFrame, by: str, column: str) -> pd.Series:
    """Most frequent value of a column for each id; of equally frequent ones the first by name."""
    counts = lines.groupby([by, column]).size().reset_index(name="n")
    counts = counts.sort_values([by, "n", column], ascending=[True, False, True])
    return counts.drop_duplicates(by).set_index(by)[column]


def build(transactions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrays of the npz file."""
    lines = clean_lines(transactions)
    events = merge_lines(lines)
    descriptions = most_frequent(lines, "item_id", "description")
    countries = most_frequent(lines, "user_id", "country")
    country_names, user_country = np.unique(countries.to_numpy(dtype=str), return_inverse=True)
    orders = events.drop_duplicates("order_id")
    pence = events.groupby("item_id")["pence"].median()
    return {
        "item_id": text_lines(descriptions.index),
        "item_description": text_lines(descriptions),
        "item_pence": np.rint(pence[descriptions.index]).to_numpy(np.uint32),
        "country": text_lines(country_names),
        "user_id": countries.index.to_numpy(np.uint32),
        "user_country": user_country.astype(np.uint8),
        "order_id": orders["order_id"].to_numpy(np.uint32),
        "order_user": countries.index.get_indexer(orders["user_id"]).astype(np.uint16),
        "order_minute": orders["timestamp"].to_numpy("datetime64[m]").astype(np.uint32),
        "order_is_return": orders["is_cancellation"].to_numpy(np.uint8),
        "order_n_events": np.diff(np.append(orders.index, len(events))).astype(np.uint16),
        "event_item": descriptions.index.get_indexer(events["item_id"]).astype(np.uint16),
        "event_quantity": events["quantity"].to_numpy(np.uint32),
        "event_pence": events["pence"].to_numpy(np.uint32),
    }


def text_lines(texts: Iterable[str]) -> np.ndarray:
    """Texts as UTF-8 bytes, a line each."""
    return np.frombuffer("\n".join(texts).encode("utf-8"), dtype=np.uint8)


def main() -> None:
    """Read the file named on the command line and write the npz file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("transactions", type=Path, help="Parquet file of the order lines")
    parser.add_argument("--target", type=Path, default=TARGET, help="npz file to write")
    arguments = parser.parse_args()
    # Members of an npz carry no times of day, so equal arrays make equal bytes.
    np.savez_compressed(arguments.target, **build(pd.read_parquet(arguments.transactions)))


if __name__ == "__main__":
    main()
