"""Offline work on a Ray cluster: vectors of a corpus, and scores of many pairs."""

from rerank_search.on_ray.cluster import RayCluster

__all__ = ["RayCluster"]
