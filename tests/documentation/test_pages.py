"""Every block of README.md and docs/ runs as it is shown, or says why not."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
PAGES = {page.name: page for page in sorted((ROOT / "docs").glob("*.md"))}
WITH_DATABASE = "stores.md"
WITH_SERVER = ("client.md", "mcp.md", "serving.md")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in (*WITH_SERVER, WITH_DATABASE, "training.md")]
)
def test_a_page_runs_after_the_start_page(page: str, reader, after_start_page: Path) -> None:
    reader(after_start_page).follow(PAGES[page])


@pytest.mark.slow
def test_the_page_on_stores_runs_with_its_database(
    reader, after_start_page: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = urlsplit(postgres.server)
    monkeypatch.setenv("PGUSER", server.username or "postgres")
    monkeypatch.setenv("PGPASSWORD", server.password or "")
    monkeypatch.setenv("PGPORT", str(server.port or 5432))
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    postgres.run("CREATE DATABASE shop")
    try:
        postgres.run("CREATE EXTENSION vector", database="shop")
        reader(after_start_page).follow(PAGES[WITH_DATABASE])
    finally:
        postgres.run("DROP DATABASE shop WITH (FORCE)")


@pytest.mark.process
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.filterwarnings("ignore::UserWarning:pydantic")
@pytest.mark.parametrize("page", WITH_SERVER)
def test_a_page_runs_with_its_server(page: str, reader, after_start_page: Path) -> None:
    reader(after_start_page).follow(PAGES[page])


@pytest.mark.training
def test_the_page_on_training_runs(reader, after_start_page: Path) -> None:
    assert reader(after_start_page).follow(PAGES["training.md"]) > 5


@pytest.mark.process
def test_the_start_page_runs_in_a_fresh_clone(reader, clone: Path) -> None:
    assert reader(clone).follow(ROOT / "README.md") > 5


def test_contributing_says_why_its_commands_are_not_run(reader, clone: Path) -> None:
    assert reader(clone).follow(ROOT / "CONTRIBUTING.md") == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```yaml\na: 1\n```\n", "neither run nor marked"),
        ("<!-- not run -->\n```yaml\na: 1\n```\n", "why is it not run"),
        ("<!-- untested: slow -->\n```sh\nls\n```\n", "unknown note"),
        ("Do this:\n\n    rerank-search serve\n", "not in a fence"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "printed"),
        ("```sh\nrerank-search search nowhere paths\n```\n", "no index"),
        ("```sh\npip install 'rerank-search[eval]'\n```\n", "change what is installed"),
        ("```python\n1 + 1\n", "without an end"),
    ],
)
def test_a_page_fails(reader, clone: Path, tmp_path: Path, text: str, reason: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=reason):
        reader(clone).follow(page)
