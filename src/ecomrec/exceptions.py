"""Errors that callers catch by name; everything else is a built-in exception."""


class EcomrecError(Exception):
    """Base of every error that this library names itself."""


class DataError(EcomrecError, ValueError):
    """A table, matrix or id that cannot be read as interactions."""


class UnknownIdError(EcomrecError, LookupError):
    """User or item ids that the model has never seen."""


class FileFormatError(EcomrecError, ValueError):
    """A saved model that is damaged, truncated, foreign or too new."""


class DecryptionError(FileFormatError):
    """An encrypted file that the key does not open, or that was changed since it was written."""


class BudgetExceededError(EcomrecError, ValueError):
    """A release that would spend more privacy than its ledger allows; nothing was charged."""
