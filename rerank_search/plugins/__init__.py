"""Plugins: rerank_search in the frameworks and protocols that people use already."""
