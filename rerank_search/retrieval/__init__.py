"""First-stage retrieval: passages of stored documents by words and by meaning."""
