"""The exit codes of the command line; 0 is success."""

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells: 128 plus the number of the signal."""
