"""Compiled loops: arrays in, arrays out. No class, no id and no table comes this far down."""
