"""Qdrant: a server, or a shard of Qdrant Edge."""
