import json
from pathlib import Path

import pytest

from tests.on_ray.same_results import documents


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """210 documents, and as many judged queries: 100 are scored at a time."""
    folder = tmp_path_factory.mktemp("data") / "village"
    (folder / "qrels").mkdir(parents=True)
    texts = documents(210)
    corpus = [{"_id": each.id, "text": f"{each.id} {each.text[:200]}"} for each in texts]
    queries = [{"_id": f"q{each.id}", "text": f"{each.id} {each.text[:20]}"} for each in texts]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        written = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(written)
    judged = "".join(f"q{each.id}\t{each.id}\t1\n" for each in texts)
    (folder / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder
