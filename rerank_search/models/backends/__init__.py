"""Backends that compute a cross-encoder: torch, or a runtime that reads torch's export."""
