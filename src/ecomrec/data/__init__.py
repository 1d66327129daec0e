"""From a table of events to `Interactions`: ids, weights, time and cleaning."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Catalog": "catalog",
        "EventWeights": "events",
        "Interactions": "interactions",
        "MissingValues": "cleaning",
        "RobotFilter": "robots",
    },
)
