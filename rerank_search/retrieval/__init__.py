"""First-stage retrieval: finding passages of stored documents by words and by meaning."""
