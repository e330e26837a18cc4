"""What CONTRIBUTING.md asks of tests: where they are, and what they never do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import rerank_search

PACKAGE = Path(rerank_search.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("*.py"))

OF_NO_PART = {"deploy", "documentation", "examples"}
"""Folders of tests of something else than a part of the package."""

MAY_SLEEP = {
    "waiting.py",  # the one place that polls
    "forked.py",  # a program that polls its children
    "documentation/conftest.py",  # polls a server that a page starts
    "on_ray/slow_encoder.py",  # an encoder that takes long enough to kill its worker
    "test_searcher.py",  # a reranker that takes longer than the budget of a search
}
MAY_BE_UNSEEDED = {
    "index/torture.py",  # as a program; it prints its seed, and the suite gives one
}

PATCHING = {"setattr", "delattr", "setitem", "delitem"}
DRAWING = {"random", "randint", "randrange", "choice", "choices", "sample", "shuffle", "uniform"}
GENERATORS = {"Random", "default_rng", "RandomState", "Generator"}


Nodes = Sequence[ast.AST]
"""All nodes of a file's syntax tree."""


def nodes_of(code: str) -> Nodes:
    return list(ast.walk(ast.parse(code)))


@pytest.fixture(scope="module")
def parsed() -> Mapping[Path, Nodes]:
    """All files of the tests, parsed once."""
    return {path: nodes_of(path.read_text(encoding="utf-8")) for path in FILES}


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(TESTS)}:{getattr(node, 'lineno', 0)}"


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute; empty for what is not made of names alone."""
    if isinstance(node, ast.Name):
        return node.id
    inside = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inside}.{node.attr}" if inside and isinstance(node, ast.Attribute) else ""


def ours(nodes: Nodes) -> set[str]:
    """The names that a module has from the package."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rerank_search"):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.partition(".")[0]
                for alias in node.names
                if alias.name.startswith("rerank_search")
            }
    return names


def patches(nodes: Nodes) -> Iterator[ast.AST]:
    """Replaced parts of the package, by monkeypatch, by mocks or by assignment."""
    known = ours(nodes)

    def is_ours(target: ast.AST) -> bool:
        if isinstance(target, ast.Constant):
            return isinstance(target.value, str) and target.value.startswith("rerank_search")
        return dotted(target).partition(".")[0] in known

    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [getattr(node, "module", "") or "", *(alias.name for alias in node.names)]
            if any("mock" in name for name in named):
                yield node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in PATCHING and is_ours(node.args[0]):
                yield node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and is_ours(target.value):
                    yield node


def private(nodes: Nodes) -> Iterator[ast.AST]:
    """Private attributes of anything but the test's own objects."""
    for node in nodes:
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and dotted(node) not in ("os._exit", "torch.ops.mkldnn._is_mkldnn_bf16_supported")
            and dotted(node.value) not in ("self", "cls", "other")
        ) or (
            isinstance(node, ast.ImportFrom)
            and any(
                alias.name.startswith("_") and not alias.name.startswith("__")
                for alias in node.names
            )
        ):
            yield node


def sleeps(nodes: Nodes) -> Iterator[ast.AST]:
    """Calls that wait for a clock; a sleep of 0 only lets others go on."""
    waiting = {"time.sleep", "sleep", "asyncio.sleep", "Timer", "threading.Timer"}
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and dotted(node.func) in waiting
            and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        ):
            yield node


def unseeded(nodes: Nodes) -> Iterator[ast.AST]:
    """Generators without a seed, and functions that draw from those that all share."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        last = name.rpartition(".")[2]
        if (
            name in ("os.urandom", "random.SystemRandom")
            or (last in GENERATORS and not node.args and not node.keywords)
            or (name.startswith("secrets."))
            or (name.rpartition(".")[0] in ("np.random", "numpy.random") and last in DRAWING)
        ):
            yield node


def unordered(nodes: Nodes) -> Iterator[ast.AST]:
    """Parameters from a set, whose order differs between the processes that share the tests."""
    for node in nodes:
        if isinstance(node, ast.Call) and dotted(node.func) == "pytest.mark.parametrize":
            for part in ast.walk(node):
                if isinstance(part, ast.Starred | ast.comprehension):
                    values = part.value if isinstance(part, ast.Starred) else part.iter
                    made = {dotted(each.func) for each in calls(values)}
                    if isinstance(values, ast.Set) or ("set" in made and "sorted" not in made):
                        yield node


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


Found = Callable[[Nodes], Iterator[ast.AST]]


@pytest.mark.parametrize(
    ("look", "excepted"),
    [
        pytest.param(patches, set(), id="no part of the package is replaced"),
        pytest.param(private, set(), id="no private attribute is used"),
        pytest.param(sleeps, MAY_SLEEP, id="nothing waits for a clock"),
        pytest.param(unseeded, MAY_BE_UNSEEDED, id="everything random has a seed"),
        pytest.param(unordered, set(), id="parameters have an order"),
    ],
)
def test_in_all_tests(look: Found, excepted: set[str], parsed: Mapping[Path, Nodes]) -> None:
    found = [
        where(path, node)
        for path, nodes in parsed.items()
        if str(path.relative_to(TESTS)) not in excepted
        for node in look(nodes)
    ]
    assert found == []


def test_what_may_not_be_in_tests_is_found() -> None:
    wrong = {
        patches: "from rerank_search import Index\nmonkeypatch.setattr(Index, 'add', None)",
        private: "index._store",
        sleeps: "time.sleep(1)",
        unseeded: "np.random.default_rng()",
        unordered: "pytest.mark.parametrize('a', [*(set(NAMES) - {'auto'})])",
    }
    assert all(list(look(nodes_of(code))) for look, code in wrong.items())
    right = "from rerank_search import Index\nmonkeypatch.setattr(os, 'access', None)"
    assert list(patches(nodes_of(right))) == []


def test_tests_mirror_the_package(parsed: Mapping[Path, Nodes]) -> None:
    """A file has the name of a module or of a folder, or its first line says what it tests."""
    lost = []
    for path, (module, *_) in parsed.items():
        folder = path.parent.relative_to(TESTS)
        name = path.stem.removeprefix("test_")
        part = PACKAGE / folder
        named = (part / f"{name}.py").exists() or (part / name / "__init__.py").exists()
        told = isinstance(module, ast.Module) and ast.get_docstring(module)
        if not path.name.startswith("test_"):
            continue
        if folder.parts[:1] and folder.parts[0] in OF_NO_PART:
            continue
        if not (part / "__init__.py").exists() or not (named or told):
            lost.append(str(path.relative_to(TESTS)))
    assert lost == []


def test_every_folder_of_the_package_has_tests() -> None:
    parts = [path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")]
    untested = {
        str(part)
        for part in parts
        if not list((TESTS / part).rglob("test_*.py"))
        and not (TESTS / part.parent / f"test_{part.name}.py").exists()
    }
    assert untested == set()
