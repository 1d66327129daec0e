"""Where each public estimator lives: what `ecomrec.load` may import, and what the tests cover."""

ESTIMATORS = {
    "ItemKNN": "ecomrec.cf",
    "Popularity": "ecomrec.cf",
    "UserKNN": "ecomrec.cf",
}
