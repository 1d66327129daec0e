"""What is spent: events, accountants, the ledger, and the report of a fit."""
