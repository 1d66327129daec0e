"""Shops to try things on: a real one that ships with the package, and made-up ones."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Shop": "shop",
        "SyntheticShop": "shop",
        "load_online_retail": "online_retail",
        "make_checkerboard": "synthetic",
        "make_shop": "synthetic",
    },
)
