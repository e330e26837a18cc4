from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from rerank_search.errors import InvalidInputError

Run = Callable[..., Result]


def test_keys_are_made_listed_and_removed(folder: Path, run: Run) -> None:
    made = run("key", "add", "app", "--file", "keys.json", "--write")
    assert re.fullmatch(r"rs_[\w-]{43}\n", made.stdout)
    listed = run("key", "list", "--file", "keys.json")
    assert listed.stdout.split()[:2] == ["app", "write"]
    assert run("key", "remove", "app", "--file", "keys.json").exit_code == 0
    run("key", "add", "tenant", "--file", "keys.json", "--index", "wiki", "--index", "notes")
    listed = run("key", "list", "--file", "keys.json")
    assert listed.stdout.rstrip("\n").split("\t")[3:] == ["notes, wiki"]
    assert run("key", "remove", "tenant", "--file", "keys.json").exit_code == 0
    assert run("key", "list", "--file", "keys.json").stdout == ""
    gone = run("key", "remove", "app", "--file", "keys.json")
    assert isinstance(gone.exception, InvalidInputError)
