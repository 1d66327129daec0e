"""For those who write recommenders: a check of every promise, and random logs to test with."""

from ecomrec._optional import require

for _name in ("hypothesis", "pytest"):
    require(_name, "testing")

from ecomrec.testing._checks import check_recommender, checks_for  # noqa: E402
from ecomrec.testing._exceptions import exceptions_for  # noqa: E402
from ecomrec.testing.strategies import event_tables, interactions  # noqa: E402

__all__ = [
    "check_recommender",
    "checks_for",
    "event_tables",
    "exceptions_for",
    "interactions",
]
