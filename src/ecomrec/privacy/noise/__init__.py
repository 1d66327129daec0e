"""Noise on integers, and the mechanisms made of it."""
