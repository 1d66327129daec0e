"""Recommenders made of recommenders, and what puts their answers in another order."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Blend": "blend",
        "BusinessRules": "rules",
        "Calibrated": "calibrated",
        "CategoryCap": "caps",
        "Complementary": "complementary",
        "DPP": "dpp",
        "ExposureFairness": "fairness",
        "MMR": "mmr",
        "RankFusion": "rank_fusion",
        "Switch": "switch",
        "Reranked": "reranked",
        "SimilarityFusion": "similarity_fusion",
        "Stacking": "stacking",
        "TwoStage": "two_stage",
    },
)
