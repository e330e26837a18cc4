"""The files of deploy/ as they are read by what they are for."""

from __future__ import annotations

import subprocess
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from rerank_search.cli.main import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


class Strict(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, as it is to Kubernetes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"twice: {keys} {node.start_mark}"
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Any]:
    return list(yaml.load_all(text, Strict))


def read(path: str) -> Any:
    """The only document of a file."""
    [found] = documents((DEPLOY / path).read_text(encoding="utf-8"))
    return found


def kustomized(folder: str) -> list[Any]:
    """What kubectl would send to a cluster."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return documents(made.stdout)


def options(arguments: list[str]) -> Mapping[str, Any]:
    """The options of a command line of `rerank-search serve`, as it reads them itself."""
    name, *rest = arguments
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    assert name == "serve"
    return command.make_context(name, list(rest)).params
