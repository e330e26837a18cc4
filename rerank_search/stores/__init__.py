"""First stages that live elsewhere: tables and collections of engines that people have already."""

from rerank_search.stores.base import (
    NewStore,
    Scored,
    StoreBackend,
    StoreDescription,
    StoreOptions,
)
from rerank_search.stores.opening import open_store
from rerank_search.stores.store import Store
from rerank_search.stores.url import StoreUrl, is_store_url

__all__ = [
    "NewStore",
    "Scored",
    "Store",
    "StoreBackend",
    "StoreDescription",
    "StoreOptions",
    "StoreUrl",
    "is_store_url",
    "open_store",
]
