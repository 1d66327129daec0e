"""Metrics, splits, scorers for scikit-learn, and comparisons with intervals."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ColdItemSplit": "folds",
        "ColdUserSplit": "folds",
        "Comparison": "comparison",
        "EventSplitter": "splits",
        "KFoldRows": "folds",
        "LeaveLastN": "splits",
        "RandomPerUser": "folds",
        "RankingScorer": "scoring",
        "TemporalSplit": "splits",
        "TuningResult": "tuning",
        "accuracy_by_history": "slices",
        "accuracy_by_popularity": "slices",
        "catalog_coverage": "beyond",
        "click_through_rate": "online",
        "compare": "comparison",
        "conversion_rate": "online",
        "gini": "beyond",
        "intra_list_diversity": "beyond",
        "mae": "metrics",
        "novelty": "beyond",
        "per_user_metrics": "metrics",
        "plot_comparison": "plots",
        "plot_slices": "plots",
        "popularity_bias": "beyond",
        "ranking_metrics": "metrics",
        "ranking_scorer": "scoring",
        "rmse": "metrics",
        "serendipity": "beyond",
        "train_test_split": "splits",
        "tune": "tuning",
    },
)
