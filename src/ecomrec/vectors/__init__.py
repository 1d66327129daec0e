"""Models whose score is a product of two vectors: finding the best items, smaller vectors."""
