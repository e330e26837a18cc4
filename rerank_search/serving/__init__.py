"""The HTTP API: a thin FastAPI service over the library."""
