"""Where documents come from: files, and the documentation of the running Python."""
