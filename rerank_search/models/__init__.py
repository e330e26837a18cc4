"""Models: the bundled ones, and how the others are found and computed."""
