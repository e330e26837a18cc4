"""Where a cross-encoder is computed: torch, or a runtime that reads what torch has exported."""
