"""Content and search: models that know what items are and what the visitor types."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AttributeRecommender": "attributes",
        "Catalog": ".data.catalog",
        "EmbeddingRecommender": "embedding",
        "Item2Vec": "item2vec",
        "PersonalSearch": "personal_search",
        "SearchIndex": "search",
        "TfidfRecommender": "tfidf",
        "Tokenizer": "tokens",
    },
)
