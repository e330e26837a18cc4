import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rerank_search.errors import (
    IndexCorruptedError,
    IndexFormatError,
    IndexNotFoundError,
)
from rerank_search.storage.manifest import (
    Bm25Settings,
    Manifest,
    checksum_problems,
    checksums,
)
from rerank_search.storage.passages import Passages


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        created=datetime(2026, 1, 2, tzinfo=UTC),
        encoder=None,
        analyzer="english",
        bm25=Bm25Settings(),
        passages=Passages(tokens=256),
        vector_dtype="float32",
        hnsw_above=1000,
    )


def test_a_manifest_is_read_as_it_was_written(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_a_manifest_that_names_no_fusion_of_hybrid_has_reciprocal_ranks(
    manifest: Manifest, tmp_path: Path
) -> None:
    manifest.write(tmp_path)
    assert "hybrid" not in json.loads((tmp_path / "manifest.json").read_text())
    assert Manifest.read(tmp_path).hybrid == "rrf"
    manifest.model_copy(update={"hybrid": "scores"}).write(tmp_path)
    assert Manifest.read(tmp_path).hybrid == "scores"


def test_no_manifest_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="index create"):
        Manifest.read(tmp_path / "missing")


def test_a_missing_index_with_a_definition_is_made_from_it(tmp_path: Path) -> None:
    (tmp_path / "notes.toml").touch()
    with pytest.raises(IndexNotFoundError, match=r"index build .*notes\.toml`"):
        Manifest.read(tmp_path / "notes")


@pytest.mark.parametrize("folder", ["", ".", "/"])
def test_a_folder_without_a_name_is_no_index(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IndexNotFoundError, match="there is no index at"):
        Manifest.read(Path(folder))


def test_documents_without_a_manifest_are_a_damaged_index(tmp_path: Path) -> None:
    (tmp_path / "documents.sqlite").touch()
    with pytest.raises(IndexCorruptedError, match=r"manifest\.json"):
        Manifest.read(tmp_path)


def test_a_newer_format_asks_for_an_upgrade(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    newer = {"format_version": content["format_version"] + 1, "unknown": "fields"}
    (tmp_path / "manifest.json").write_text(json.dumps(newer))
    with pytest.raises(IndexFormatError, match="upgrade"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format_version": 1}', b"\xff"])
def test_a_damaged_manifest_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(IndexCorruptedError, match=r"manifest\.json"):
        Manifest.read(tmp_path)


def test_a_changed_file_fails_its_checksum_and_a_deleted_one_is_not_its_business(
    tmp_path: Path,
) -> None:
    kept, changed, deleted = (tmp_path / name for name in ("kept", "changed", "deleted"))
    for file in (kept, changed, deleted):
        file.write_bytes(b"content")
    known = checksums(tmp_path, [kept, changed, deleted], {})
    changed.write_bytes(b"damaged")
    deleted.unlink()
    [problem] = checksum_problems(tmp_path, known)
    assert problem.startswith("changed ")


def test_tantivy_refuses_parameters_that_it_would_ignore() -> None:
    with pytest.raises(ValueError, match="bm25s"):
        Bm25Settings(k1=0.9)
    assert Bm25Settings(engine="bm25s", k1=0.9).k1 == 0.9
