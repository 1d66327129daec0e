"""Where each public estimator lives: what `ecomrec.load` may import, and what the tests cover."""

ESTIMATORS = {
    "ALS": "ecomrec.cf",
    "AttributeRecommender": "ecomrec.content",
    "BPR": "ecomrec.cf",
    "EASE": "ecomrec.cf",
    "EmbeddingRecommender": "ecomrec.content",
    "GraphFilter": "ecomrec.cf",
    "Item2Vec": "ecomrec.content",
    "ItemKNN": "ecomrec.cf",
    "PersonalSearch": "ecomrec.content",
    "Popularity": "ecomrec.cf",
    "PureSVD": "ecomrec.cf",
    "SLIM": "ecomrec.cf",
    "SVD": "ecomrec.cf",
    "TfidfRecommender": "ecomrec.content",
    "UserKNN": "ecomrec.cf",
}

#: Estimators that models take as parameters, and that a saved model may name.
COMPONENTS = {
    "CountVectorizer": "sklearn.feature_extraction.text",
    "SearchIndex": "ecomrec.content",
    "TfidfVectorizer": "sklearn.feature_extraction.text",
    "Tokenizer": "ecomrec.content",
}

#: What `ecomrec.load` reads: estimators, and the index that is none.
LOADABLE = ESTIMATORS | {"SearchIndex": "ecomrec.content"}
