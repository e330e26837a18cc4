"""The HTTP routes. A route is a function here, and its bodies are in ``schemas``."""
