"""Where each public estimator lives: what `ecomrec.load` may import, and what the tests cover."""

ESTIMATORS = {
    "ALS": "ecomrec.cf",
    "BPR": "ecomrec.cf",
    "EASE": "ecomrec.cf",
    "GraphFilter": "ecomrec.cf",
    "ItemKNN": "ecomrec.cf",
    "Popularity": "ecomrec.cf",
    "PureSVD": "ecomrec.cf",
    "SLIM": "ecomrec.cf",
    "SVD": "ecomrec.cf",
    "UserKNN": "ecomrec.cf",
}
