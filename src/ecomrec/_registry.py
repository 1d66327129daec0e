"""Where each public estimator lives: what `ecomrec.load` may import, and what the tests cover."""

ESTIMATORS = {
    "ALS": "ecomrec.cf",
    "AttributeRecommender": "ecomrec.content",
    "AttributeToFactor": "ecomrec.coldstart",
    "BPR": "ecomrec.cf",
    "Blend": "ecomrec.hybrid",
    "ColdStart": "ecomrec.coldstart",
    "Complementary": "ecomrec.hybrid",
    "DPALS": "ecomrec.privacy",
    "DPEASE": "ecomrec.privacy",
    "DPItemKNN": "ecomrec.privacy",
    "DPPopularity": "ecomrec.privacy",
    "DPTopK": "ecomrec.privacy",
    "DPTwoTower": "ecomrec.privacy",
    "EASE": "ecomrec.cf",
    "EmbeddingRecommender": "ecomrec.content",
    "Explore": "ecomrec.coldstart",
    "Friends": "ecomrec.coldstart",
    "GraphFilter": "ecomrec.cf",
    "Item2Vec": "ecomrec.content",
    "ItemKNN": "ecomrec.cf",
    "Nearby": "ecomrec.coldstart",
    "Onboarding": "ecomrec.coldstart",
    "PersonalSearch": "ecomrec.content",
    "Popularity": "ecomrec.cf",
    "PureSVD": "ecomrec.cf",
    "RankFusion": "ecomrec.hybrid",
    "Reranked": "ecomrec.hybrid",
    "SLIM": "ecomrec.cf",
    "SVD": "ecomrec.cf",
    "SimilarityFusion": "ecomrec.hybrid",
    "Stacking": "ecomrec.hybrid",
    "Switch": "ecomrec.hybrid",
    "TfidfRecommender": "ecomrec.content",
    "TwoStage": "ecomrec.hybrid",
    "UserKNN": "ecomrec.cf",
}

#: Estimators of other libraries that learn what a model ranks or blends by, and that files hold.
LEARNERS = {
    "HistGradientBoostingClassifier": "sklearn.ensemble",
    "HistGradientBoostingRegressor": "sklearn.ensemble",
    "LGBMClassifier": "lightgbm",
    "LGBMRanker": "lightgbm",
    "LGBMRegressor": "lightgbm",
    "LinearRegression": "sklearn.linear_model",
    "LogisticRegression": "sklearn.linear_model",
    "Pipeline": "sklearn.pipeline",
    "Ridge": "sklearn.linear_model",
    "RidgeCV": "sklearn.linear_model",
    "SGDClassifier": "sklearn.linear_model",
    "SGDRegressor": "sklearn.linear_model",
    "StandardScaler": "sklearn.preprocessing",
    "XGBClassifier": "xgboost",
    "XGBRanker": "xgboost",
    "XGBRegressor": "xgboost",
}

#: Estimators that models take as parameters, and that a saved model may name.
COMPONENTS = LEARNERS | {
    "BusinessRules": "ecomrec.hybrid",
    "Calibrated": "ecomrec.hybrid",
    "CategoryCap": "ecomrec.hybrid",
    "CountVectorizer": "sklearn.feature_extraction.text",
    "DPP": "ecomrec.hybrid",
    "ExposureFairness": "ecomrec.hybrid",
    "MMR": "ecomrec.hybrid",
    "PrivacyLedger": "ecomrec.privacy",
    "SearchIndex": "ecomrec.content",
    "SeededNoise": "ecomrec.privacy",
    "SystemNoise": "ecomrec.privacy",
    "TfidfVectorizer": "sklearn.feature_extraction.text",
    "Tokenizer": "ecomrec.content",
}

#: What `ecomrec.load` reads: estimators, and the index that is none.
LOADABLE = ESTIMATORS | {"SearchIndex": "ecomrec.content"}
