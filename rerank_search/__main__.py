"""`python -m rerank_search`: the command line."""

from rerank_search.cli.main import main

main()
