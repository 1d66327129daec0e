"""Answers for new visitors and new items."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Friends": "friends",
        "Nearby": "nearby",
        "friend_lists": "_circles",
    },
)
