"""Adds to the site what is outside docs/: README.md as its start page, results, model cards."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
START_PAGE = "README.md"
OUTSIDE = (
    "CONTRIBUTING.md",
    "LICENSE",
    "examples/*",
    "eval/results/*.md",
    "eval/results/*.svg",
    "rerank_search/models/*/README.md",
    "rerank_search/models/*/*.svg",
)
OUT_OF_DOCS = re.compile(r"\]\(\.\./(?=eval/|rerank_search/)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each of these files its path in the repository; README.md becomes index.md."""
    found = [path.relative_to(ROOT).as_posix() for glob in OUTSIDE for path in ROOT.glob(glob)]
    for place, path in [("index.md", START_PAGE), *((path, path) for path in sorted(found))]:
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at these places: docs/ is the top of the site."""
    if page.file.src_uri == "index.md":
        return markdown.replace("](docs/", "](")
    return OUT_OF_DOCS.sub("](", markdown).replace(f"](../{START_PAGE})", "](index.md)")
