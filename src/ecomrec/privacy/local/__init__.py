"""Answers that are private before they leave the device, and counts made from them."""
