"""Tables that leave the house: pseudonyms, k-anonymity, and what risk is left."""
