from __future__ import annotations

import subprocess
import sys

import pytest

from rerank_search.corpora.python_docs import python_docs
from rerank_search.types import Document


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {document.id: document for document in python_docs()}


def test_names_that_everybody_knows_are_there(documents: dict[str, Document]) -> None:
    for name in ("os.path.join", "subprocess.run", "str.join", "asyncio.sleep", "open", "json"):
        assert name in documents


def test_a_function_has_signature_docstring_and_metadata(documents: dict[str, Document]) -> None:
    document = documents["shutil.which"]
    assert document.title.startswith("shutil.which(cmd, mode=1, path=None)")
    assert document.text.startswith("Given a command, mode, and a PATH string")
    assert document.metadata == {"module": "shutil", "kind": "function"}


def test_every_kind_is_there(documents: dict[str, Document]) -> None:
    kinds = {document.metadata["kind"] for document in documents.values()}
    assert kinds == {"module", "class", "function", "method", "property", "topic"}


def test_the_corpus_has_about_the_expected_size(documents: dict[str, Document]) -> None:
    assert 5_000 < len(documents) < 7_000


def test_each_docstring_stands_once(documents: dict[str, Document]) -> None:
    texts = [d.text for d in documents.values() if d.metadata["kind"] != "topic"]
    assert len(texts) == len(set(texts))


def test_private_names_and_unsafe_modules_are_left_out(documents: dict[str, Document]) -> None:
    for name in documents:
        if not name.startswith("pydoc_data.topics."):
            assert not any(part.startswith("_") for part in name.split("."))
    unsafe = {"antigravity", "this", "idlelib", "tkinter", "turtle", "test", "lib2to3"}
    assert not unsafe & {str(d.metadata["module"]).split(".")[0] for d in documents.values()}


def test_nothing_of_this_run_is_in_the_documents(documents: dict[str, Document]) -> None:
    for document in documents.values():
        assert " at 0x" not in document.title
        assert sys.executable not in document.title


@pytest.mark.process
def test_the_order_is_the_same_each_time(documents: dict[str, Document]) -> None:
    assert [document.id for document in python_docs()] == list(documents)


@pytest.mark.process
def test_reading_them_imports_none_of_the_modules_and_prints_nothing() -> None:
    program = (
        "import sys\n"
        "from rerank_search.corpora.python_docs import python_docs\n"
        "next(python_docs())\n"
        "sys.exit('antigravity' in sys.modules or 'xmlrpc.server' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
