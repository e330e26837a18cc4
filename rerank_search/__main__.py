"""The entry point of the command line: `rerank-search`, and `python -m rerank_search`."""

import sys

from rerank_search.cli.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command line and exit; Ctrl-C ends it with one line, even during its start."""
    try:
        # Imported here, because this import takes most of the time of a short command.
        from rerank_search.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
