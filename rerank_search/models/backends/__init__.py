"""Backends that compute a reranker or an encoder: torch, or a runtime that reads torch's export."""
