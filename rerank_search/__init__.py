"""Two-stage search: a first stage fetches candidates, a cross-encoder reranks them."""
