"""Recommenders made of recommenders, and what puts their answers in another order."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Blend": "blend",
        "BusinessRules": "rerank.rules",
        "Calibrated": "rerank.calibrated",
        "CategoryCap": "rerank.caps",
        "Complementary": "complementary",
        "DPP": "rerank.dpp",
        "ExposureFairness": "rerank.fairness",
        "MMR": "rerank.mmr",
        "RankFusion": "rank_fusion",
        "Reranked": "rerank.reranked",
        "SimilarityFusion": "similarity_fusion",
        "Stacking": "stacking",
        "Switch": "switch",
        "TwoStage": "two_stage",
    },
)
