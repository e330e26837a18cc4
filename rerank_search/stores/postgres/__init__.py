"""Tables of PostgreSQL with pgvector."""

from rerank_search.stores.postgres.backend import PostgresBackend
from rerank_search.stores.postgres.options import PostgresOptions

__all__ = ["PostgresBackend", "PostgresOptions"]
