"""Qdrant: a server, a folder of its client, or a shard of Qdrant Edge."""
