"""The ``ecomrec`` command: ``demo``, ``evaluate``, ``recommend``, ``warmup``."""

from ecomrec.cli.app import main

__all__ = ["main"]
