"""Encrypted files, and the keys to them."""
