"""The bundled models, and where the others come from."""
