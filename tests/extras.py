"""Install each extra alone in a fresh environment, and use what it is for.

Usage: python tests/extras.py [EXTRA ...]

Takes minutes, and needs a package index. Each environment sees the packages of one in which
rerank-search is installed without extras. Without its extra, a plugin has to name the command that
installs it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]

MODULES = {
    "mcp": "rerank_search.plugins.mcp",
    "langchain": "rerank_search.plugins.langchain",
    "llama-index": "rerank_search.plugins.llama_index",
    "haystack": "haystack_integrations.components.retrievers.rerank_search",
    "dspy": "rerank_search.plugins.dspy",
    "lancedb": "rerank_search.plugins.lancedb",
}
"""The module that needs each extra."""

ABSENT = """
import importlib, sys
from rerank_search import MissingDependencyError
try:
    importlib.import_module(sys.argv[1])
except MissingDependencyError as error:
    print(error)
else:
    sys.exit("imported")
"""

PRESENT = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
for name in module.__all__:
    getattr(module, name)
others = set(sys.argv[2:])
loaded = others & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"it loads {loaded}" if loaded else 0)
"""


def environment(folder: Path, *packages: str, on: Path | None = None) -> Path:
    """Make an environment with these packages; returns its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    if on is not None:
        [own] = folder.glob("lib/python3.*/site-packages")
        [base] = on.parents[1].glob("lib/python3.*/site-packages")
        (own / "base.pth").write_text(f"{base}\n")
    install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", ROOT / "constraints.txt", *packages], check=True, cwd=ROOT)
    return python


def main(*extras: str) -> None:
    """Check each extra, all of them by default. Ends with an error if one is wrong."""
    frameworks = {
        "mcp": "mcp",
        "langchain": "langchain_core",
        "llama-index": "llama_index",
        "haystack": "haystack",
        "dspy": "dspy",
        "lancedb": "lancedb",
    }
    with tempfile.TemporaryDirectory() as made:
        base = environment(Path(made) / "base", str(ROOT))
        for extra in extras or MODULES:
            module = MODULES[extra]
            found = subprocess.run(
                [base, "-c", ABSENT, module], capture_output=True, text=True, check=True
            )
            command = f'pip install "rerank-search[{extra}]"'
            assert command in found.stdout, f"{extra}: {found.stdout!r} lacks {command}"
            python = environment(Path(made) / extra, f"{ROOT}[{extra}]", on=base)
            others = [name for other, name in frameworks.items() if other != extra]
            subprocess.run([python, "-c", PRESENT, module, *others], check=True)
            sys.stdout.write(f"{extra}: imported alone; without it: {found.stdout}")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
