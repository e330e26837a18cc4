"""Documents in SQLite, the source of truth, and the manifest that says what an index is."""
