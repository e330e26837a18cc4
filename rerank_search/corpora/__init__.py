"""Sources of documents: files, and the documentation of the running Python."""
