"""Other orders for a list: various, fair, by rule; `ecomrec.hybrid` names what is public."""
