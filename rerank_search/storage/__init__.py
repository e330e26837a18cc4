"""Documents in SQLite, the source of truth, and the manifest that describes an index."""
