"""Answers for new visitors and new items."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AttributeToFactor": "attribute_to_factor",
        "ColdStart": "cold_start",
        "Explore": "explore",
        "Friends": "friends",
        "Nearby": "nearby",
        "Onboarding": "onboarding",
        "friend_lists": "_circles",
    },
)
