from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import psycopg
import pytest
from psycopg import sql

from rerank_search import (
    Document,
    EncodedDocument,
    EncodedQuery,
    Encoder,
    InvalidDocumentError,
    InvalidInputError,
    Searcher,
    StoreAccessError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.stores import Store, open_store
from rerank_search.testing import check_store
from tests.postgres import PASSWORD, Postgres
from tests.waiting import until

Opened = Callable[..., Store]

BOAT, BREAD = Document("boat", "a boat", "Boats", {"n": 1}), Document("bread", "bread in the oven")


GRAPH = {"options": "-c enable_seqscan=off"}
"""The option with which the planner asks the index of a small table too."""


def ids(store: Store, stage: str, query: str, k: int = 10, **arguments: object) -> list[str]:
    [hits] = store.retriever(stage).retrieve([query], k, **arguments)
    return [hit.id for hit in hits]


def made(postgres: Postgres, columns: str, *rows: tuple[object, ...], table: str = "own") -> str:
    """A table of the user's with these columns and rows, in place of an earlier one."""
    name = sql.Identifier(table)
    postgres.run(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(name))
    postgres.run(sql.SQL("CREATE TABLE {} (" + columns + ")").format(name))
    for row in rows:
        places = sql.SQL(", ").join(sql.Placeholder() * len(row))
        postgres.run(sql.SQL("INSERT INTO {} VALUES ({})").format(name, places), row)
    postgres.run(sql.SQL("GRANT ALL ON {} TO {}").format(name, sql.Identifier(postgres.owner)))
    postgres.run(sql.SQL("GRANT SELECT ON {} TO {}").format(name, sql.Identifier(postgres.reader)))
    return table


@pytest.mark.slow
@pytest.mark.parametrize("search", ["exact", "hnsw"])
def test_a_table_conforms(opened: Opened, search: str):
    check_store(opened(dimension=8, create=True, search=search, **GRAPH))


@pytest.mark.slow
def test_a_table_with_an_encoder_conforms(opened: Opened, tiny_encoder: Path):
    check_store(opened(encoder=str(tiny_encoder), create=True))


def test_dense_scores_are_those_of_faiss(opened: Opened):
    random = np.random.default_rng(5)
    rows = random.normal(size=(300, 24)).astype(np.float32)
    asked = random.normal(size=(5, 24)).astype(np.float32)
    store = opened(dimension=24, create=True)
    store.add([Document(str(i), "a boat") for i in range(300)], vectors=rows)
    flat = faiss.IndexFlatIP(24)
    flat.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    scores, _ = flat.search(asked / np.linalg.norm(asked, axis=1, keepdims=True), 20)
    queries = [EncodedQuery("boat", each) for each in asked]
    found = store.retriever("dense").retrieve(queries, 20)
    assert np.allclose([[hit.score for hit in hits] for hits in found], scores, atol=1e-5)
    [filtered] = store.retriever("dense").retrieve(queries[:1], 300, filter={"$not": {}})
    assert filtered == []


def test_an_hnsw_index_is_asked_and_a_filter_searches_exactly(opened: Opened):
    random = np.random.default_rng(5)
    rows = random.normal(size=(300, 8)).astype(np.float32)
    rows[100:] = rows[100]  # more equal scores than fit in a page
    documents = [Document(f"{i:03}", "a boat", metadata={"n": i}) for i in range(300)]
    opened(dimension=8, create=True, search="hnsw").add(documents, vectors=rows)
    graph, exact = opened(search="hnsw", **GRAPH), opened()
    for query in (EncodedQuery("boat", rows[100]), EncodedQuery("boat", random.normal(size=8))):
        for k in (1, 30, 250, 300):
            assert ids(graph, "dense", query, k) == ids(exact, "dense", query, k)
        filter = {"n": {"$lt": 7}}
        filtered = ids(graph, "dense", query, filter=filter)
        assert filtered == ids(exact, "dense", query, filter=filter)


def test_a_long_question_finds_documents_with_any_of_its_words(opened: Opened):
    store = opened(dimension=0, create=True)
    store.add([BOAT, BREAD])
    question = (
        "Which of the boats' sails & masts (or oars | rudders) did they -- \\'break\\'? !boat:*"
    )
    assert ids(store, "text", question) == ["boat"]
    assert ids(store, "text", "breads ovens") == ["bread"]
    assert ids(store, "text", "the of and") == []
    assert ids(store, "text", "a" * 3000) == []
    assert set(ids(store, "text", "boat bread " * 50_000)) == {"boat", "bread"}


def test_words_are_those_of_the_language(opened: Opened):
    store = opened(dimension=0, create=True, language="german")
    store.add([Document("a", "Die Häuser am Fluss")])
    assert ids(store, "text", "Haus") == ids(store, "text", "Flüsse") == ["a"]
    with pytest.raises(InvalidInputError, match=r"language='klingon'.*english.*german"):
        opened(language="klingon")


def test_a_table_of_the_user_is_searched_as_it_is(
    opened: Opened, postgres: Postgres, tiny_encoder: Path, tiny_reranker: Path
):
    table = made(
        postgres,
        '"key" uuid PRIMARY KEY, body text, embedding vector(32), headline varchar(80), price int',
        (uuid.UUID(int=0xAB), "a boat on the river", None, "Boats", 5),
        (uuid.UUID(int=1), None, None, None, 7),
    )
    columns = {"id": "key", "text": "body", "title": "headline"}
    before = postgres.run("SELECT count(*) FROM pg_class")
    with pytest.raises(
        StoreMismatchError, match=r"no column 'id', only 'key', 'body', 'embedding'"
    ):
        opened(table=table)
    store = opened(table=table, encoder=str(tiny_encoder), **columns)
    assert store.first_stages == ("text", "dense", "hybrid")
    first, second = str(uuid.UUID(int=1)), str(uuid.UUID(int=0xAB))
    found = store.documents([first, "no uuid", second.upper(), second])
    assert found == [
        Document(first, ""),
        None,
        None,
        Document(second, "a boat on the river", "Boats"),
    ]
    assert ids(store, "text", "rivers") == [second]
    assert ids(store, "dense", "rivers") == []  # without vectors
    assert Searcher(store, str(tiny_reranker)).search("a boat").hits[0].id == second
    assert postgres.run("SELECT count(*) FROM pg_class") == before  # nothing was made beside it

    assert store.add([Document(second, "a long boat", "Ships")]) == 1
    assert ids(store, "dense", "rivers") == [second]
    assert postgres.run(f"SELECT price FROM {table} WHERE headline = 'Ships'") == [(5,)]
    for wrong, reason in (
        (Document(second.upper(), "x"), "type uuid"),
        (Document("no uuid", "x"), "type uuid"),
        (Document(first, "x", metadata={"a": 1}), "metadata"),
        (Document(first, "x", "y" * 81), "too long"),
    ):
        with pytest.raises(InvalidDocumentError, match=reason):
            store.add([Document(second, "nothing of this"), wrong])
    assert store.documents([second]) == [Document(second, "a long boat", "Ships")]
    assert store.delete([first, "no uuid"]) == 1


def test_ids_may_be_integers(opened: Opened, postgres: Postgres):
    rows = [(number, "a boat", "[1,0]") for number in (10, 9, -1)]
    store = opened(table=made(postgres, "id int PRIMARY KEY, text text, v halfvec(2)", *rows))
    assert ids(store, "dense", EncodedQuery("x", [1.0, 0.5])) == ["-1", "10", "9"]
    assert store.documents(["9", "09", "9.0", "99999999999", "x", "-1"])[1:5] == [None] * 4
    with pytest.raises(InvalidDocumentError, match="type int4"):
        store.add([EncodedDocument("09", "x", vector=[1.0, 0.0])])
    assert store.add([EncodedDocument("9", "x", vector=[0.0, 1.0])]) == 1
    assert ids(store, "dense", EncodedQuery("x", [1.0, 0.0])) == ["-1", "10", "9"]


@pytest.mark.parametrize("search", ["exact", "hnsw"])
def test_rows_without_an_id_or_a_vector_that_has_a_cosine_are_not_found(
    opened: Opened, postgres: Postgres, search: str
):
    rows = [("a", "boat", "[0,0]"), ("b", "boat", "[0,1]"), ("c", "boat", None)]
    rows.append((None, "boat", "[1,0]"))
    table = made(postgres, "id text UNIQUE, text text, v vector(2)", *rows)
    postgres.run(f"CREATE INDEX ON {table} USING hnsw (v vector_cosine_ops)")
    store = opened(table=table, search=search)
    [hits] = store.retriever("hybrid").retrieve([EncodedQuery("boat", [1.0, 0.0])], 5)
    assert {hit.id for hit in hits} == {"a", "b", "c"}
    assert ids(store, "dense", EncodedQuery("boat", [1.0, 0.0]), 1) == ["b"]


def test_a_view_is_searched_and_its_rows_must_have_ids_of_their_own(
    opened: Opened, postgres: Postgres
):
    made(postgres, "id int PRIMARY KEY, text text, n int", (1, "a boat", 1), (2, "boats", 1))
    postgres.run("CREATE VIEW seen AS SELECT n AS id, text FROM own; GRANT ALL ON seen TO PUBLIC")
    store = opened(table="seen")
    with pytest.raises(StoreMismatchError, match="several documents with the id '1'"):
        ids(store, "text", "boat")
    with pytest.raises(StoreMismatchError, match="no unique index"):
        store.add([Document("3", "x")])
    postgres.run("DROP VIEW seen")


@pytest.mark.parametrize(
    ("columns", "options", "reason"),
    [
        ("id int, text text", {}, "'id' of .* has no unique index"),
        ("id bytea PRIMARY KEY, text text", {}, "the type bytea, and the id has to be text or"),
        ("id int PRIMARY KEY, text jsonb", {}, "the type jsonb, and the text has to be"),
        ("id int PRIMARY KEY, text text", {"vector": "v"}, "no column 'v'"),
        ("id int PRIMARY KEY, text text", {"metadata": "text"}, "metadata has to be jsonb or"),
        ("id int PRIMARY KEY, text text, a vector(2), b vector(2)", {}, "'a', 'b' with vectors"),
        ("id int PRIMARY KEY, text text, v vector", {}, "does not say how long its vectors are"),
        ("id int PRIMARY KEY, text text, v vector(2)", {"search": "hnsw"}, "no HNSW index"),
        ("id int PRIMARY KEY, text text, v sparsevec(9)", {"vector": "v"}, "the type sparsevec"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    opened: Opened, postgres: Postgres, columns: str, options: dict[str, str], reason: str
):
    with pytest.raises(StoreMismatchError, match=reason):
        opened(table=made(postgres, columns), **options)


def test_columns_can_be_left_out(opened: Opened, postgres: Postgres):
    table = made(postgres, "id int PRIMARY KEY, text text, title text, metadata jsonb, v vector(2)")
    assert opened(table=table, vector="").first_stages == ("text",)
    store = opened(table=table, vector="", title="", metadata="")
    store.add([Document("1", "x")])
    assert postgres.run(f"SELECT title, metadata FROM {table}") == [(None, None)]
    with pytest.raises(InvalidDocumentError, match="has a title"):
        store.add([Document("1", "x", "y")])


def test_other_columns_that_need_a_value_are_told(opened: Opened, postgres: Postgres):
    store = opened(table=made(postgres, "id int PRIMARY KEY, text text, price int NOT NULL"))
    with pytest.raises(StoreMismatchError, match=r'"price".*give it a default'):
        store.add([Document("1", "x")])


def test_the_encoder_is_recorded_beside_the_table(opened: Opened, postgres: Postgres, tiny_encoder):
    opened(encoder=str(tiny_encoder), create=True)
    again = opened()
    assert again.encoder is not None
    assert again.encoder.name == str(tiny_encoder)
    postgres.run("UPDATE rerank_search_encoders SET encoder = '{\"name\": 1}'")
    with pytest.raises(StoreMismatchError, match="cannot be read: upgrade"):
        opened()
    postgres.run("DELETE FROM rerank_search_encoders")


def test_a_new_table_has_no_record_of_an_earlier_one(
    opened: Opened, postgres: Postgres, table: str, tiny_encoder: Path
):
    opened(encoder=str(tiny_encoder), create=True)
    postgres.run(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
    assert opened(dimension=3, create=True).dimension == 3
    postgres.run(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
    again = opened(encoder=str(tiny_encoder), create=True)
    assert again.encoder is not None


def test_several_who_record_the_encoder_at_once_record_it(
    opened: Opened, postgres: Postgres, tiny_encoder: Path
):
    dimension = Encoder(str(tiny_encoder)).dimension
    table = made(postgres, f"id text PRIMARY KEY, text text, v vector({dimension})")
    postgres.run("DROP TABLE IF EXISTS rerank_search_encoders")
    with ThreadPoolExecutor(4) as pool:
        stores = pool.map(
            lambda _: opened(table=table, encoder=str(tiny_encoder), create=True), range(4)
        )
        assert all(store.encoder is not None for store in stores)
    assert postgres.run("SELECT count(*) FROM rerank_search_encoders") == [(1,)]
    postgres.run("DROP TABLE rerank_search_encoders")


def test_one_who_may_only_read_can_search_and_is_told_why_not_write(
    opened: Opened, postgres: Postgres
):
    table = made(postgres, "id int PRIMARY KEY, text text", (1, "a boat"))
    store = opened(user=postgres.reader, table=table)
    assert ids(store, "text", "boat") == ["1"]
    for write in (lambda: store.add([Document("2", "x")]), lambda: store.delete(["1"])):
        with pytest.raises(StoreAccessError, match="permission denied for table own"):
            write()
    with pytest.raises(StoreAccessError, match="permission denied"):
        opened(user=postgres.reader, create=True, dimension=2)
    postgres.run("REVOKE ALL ON own FROM PUBLIC")
    postgres.run(f"REVOKE ALL ON own FROM {postgres.reader}")
    with pytest.raises(StoreAccessError, match="may not read the table"):
        opened(user=postgres.reader, table=table)


def test_without_pgvector_the_superuser_is_asked_for_it(opened: Opened, postgres: Postgres):
    postgres.run("DROP EXTENSION vector CASCADE")
    try:
        with pytest.raises(StoreAccessError, match="superuser to run CREATE EXTENSION vector"):
            opened(create=True, dimension=2)
        assert opened(create=True, dimension=0).first_stages == ("text",)
    finally:
        postgres.run("CREATE EXTENSION vector")


def test_pgvector_may_be_in_another_schema(opened: Opened, postgres: Postgres):
    postgres.run("DROP EXTENSION vector CASCADE; CREATE SCHEMA IF NOT EXISTS ext")
    postgres.run("GRANT USAGE ON SCHEMA ext TO PUBLIC; CREATE EXTENSION vector SCHEMA ext")
    try:
        store = opened(create=True, dimension=2, search="hnsw")
        store.add([EncodedDocument("a", "a boat", vector=[1.0, 0.0])])
        assert ids(store, "hybrid", EncodedQuery("boat", [1.0, 0.0])) == ["a"]
    finally:
        postgres.run("DROP EXTENSION vector CASCADE; CREATE EXTENSION vector")


def test_a_password_is_needed_and_never_shown(postgres: Postgres, table: str):
    if postgres.secured is None:
        pytest.skip("the rules of another server decide who needs a password")
    url = postgres.url(postgres.secured, PASSWORD, table=table)
    with open_store(url, dimension=0, create=True) as store:
        assert PASSWORD not in repr(store)
        assert ":***@" in repr(store)
    for wrong in ("wrong", None):
        with pytest.raises(StoreAccessError, match=r"password.*\(PGPASSWORD") as refused:
            open_store(postgres.url(postgres.secured, wrong, table=table))
        assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"sslmode": "require"}, StoreAccessError, "check sslmode"),
        ({"sslmode": "maybe"}, InvalidInputError, "sslmode"),
        ({"connect_timeout": "soon"}, InvalidInputError, "connect_timeout"),
        ({"table": "no such table"}, StoreNotFoundError, "does not exist"),
        ({"schema": "no such schema"}, StoreNotFoundError, "does not exist"),
        ({"tabel": "docs"}, InvalidInputError, r"no option 'tabel': use one of .*table"),
        (
            {"connection": "x", "password": "geheim"},
            InvalidInputError,
            "options .* not valid: there",
        ),
        ({"id": ""}, InvalidInputError, "id=''"),
        ({"search": "fast"}, InvalidInputError, "'exact' or 'hnsw'"),
        ({"table": "a\0b"}, InvalidInputError, "NUL"),
    ],
)
def test_what_is_wrong_with_an_address_is_told(opened: Opened, options, error, reason):
    with pytest.raises(error, match=reason) as told:
        opened(**options)
    assert "geheim" not in str(told.value)


def test_a_database_or_a_server_that_is_not_there_is_told(postgres: Postgres):
    url = postgres.url(table="docs")
    with pytest.raises(StoreNotFoundError, match="check the"):
        open_store(url.replace(postgres.database, "nowhere"))
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_store("postgresql://127.0.0.1:1/db?table=docs", retries=0)
    with pytest.raises(InvalidInputError, match="needs the option 'table'"):
        open_store(postgres.url())


def test_a_table_or_a_column_that_goes_away_is_told(opened: Opened, postgres: Postgres):
    table = made(postgres, "id int PRIMARY KEY, text text, v vector(2)", (1, "a boat", "[1,0]"))
    store = opened(table=table)
    postgres.run("ALTER TABLE own RENAME COLUMN text TO body")
    with pytest.raises(StoreMismatchError, match="the columns have changed"):
        ids(store, "text", "boat")
    postgres.run("ALTER TABLE own ALTER COLUMN v TYPE vector(3) USING '[1,0,0]'")
    with pytest.raises(StoreMismatchError, match="different vector dimensions"):
        ids(store, "dense", EncodedQuery("boat", [1.0, 0.0]))
    postgres.run("DROP TABLE own")
    with pytest.raises(StoreNotFoundError, match="was dropped or renamed"):
        len(store)


def test_a_connection_that_dies_is_replaced(opened: Opened, postgres: Postgres):
    store = opened(dimension=0, create=True)
    barrier = threading.Barrier(4)

    def search() -> None:
        barrier.wait()
        ids(store, "text", "boat")

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
        [postgres.owner],
    )
    assert len(ended) >= 1
    assert store.add([BOAT]) == 1
    assert ids(store, "text", "boat") == ["boat"]


RUNNING = "pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"


def in_middle(postgres: Postgres, action: str, statement: str) -> None:
    """Do something to the connections that run such a statement, once there is one."""
    until(
        lambda: postgres.run(
            f"SELECT {action}({RUNNING.replace('pid', 'pid)', 1)} AND pid <> pg_backend_pid()",
            [statement],
        )
    )


def locked(postgres: Postgres, table: str) -> psycopg.Connection:
    """A connection that holds a lock on the table, so that others wait for it."""
    connection = psycopg.connect(f"{postgres.server}/{postgres.database}")
    connection.execute(
        sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table))
    )
    return connection


def test_a_connection_that_dies_in_the_middle_of_a_call_is_replaced(
    opened: Opened, postgres: Postgres, table: str
):
    store = opened(dimension=0, create=True)
    added: list[int] = []
    with locked(postgres, table) as lock:
        thread = threading.Thread(target=lambda: added.append(store.add([BOAT, BREAD])))
        thread.start()
        in_middle(postgres, "pg_terminate_backend", "%INSERT INTO%")
        lock.rollback()
        thread.join()
    assert added == [2]
    assert store.documents(["boat", "bread"]) == [BOAT, BREAD]


def test_a_cancelled_call_is_an_error_and_writes_nothing(
    opened: Opened, postgres: Postgres, table: str
):
    store = opened(dimension=0, create=True)
    raised: list[Exception] = []

    def add() -> None:
        try:
            store.add([BOAT])
        except StoreTimeoutError as error:
            raised.append(error)

    with locked(postgres, table) as lock:
        thread = threading.Thread(target=add)
        thread.start()
        in_middle(postgres, "pg_cancel_backend", "%INSERT INTO%")
        thread.join()
        lock.rollback()
    assert "user request" in str(raised)
    assert len(store) == 0


def test_a_call_that_takes_too_long_is_given_up(opened: Opened, postgres: Postgres, table: str):
    opened(dimension=0, create=True).add([BOAT])
    store = opened(timeout=0.2)
    with locked(postgres, table) as lock:
        for call in (lambda: ids(store, "text", "boat"), lambda: store.add([BREAD])):
            with pytest.raises(StoreTimeoutError, match="give a longer timeout"):
                call()
        lock.rollback()
    assert ids(store, "text", "boat") == ["boat"]
    assert len(store) == 1


@pytest.mark.usefixtures("heeding_interrupts")
def test_an_interrupted_call_writes_nothing_and_leaves_the_store_usable(
    opened: Opened, postgres: Postgres, table: str
):
    store = opened(dimension=0, create=True)

    def interrupt() -> None:
        until(
            lambda: postgres.run(f"SELECT {RUNNING} AND pid <> pg_backend_pid()", ["%INSERT INTO%"])
        )
        os.kill(os.getpid(), signal.SIGINT)

    with locked(postgres, table) as lock:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            store.add([BOAT])
        thread.join()
        lock.rollback()
    assert len(store) == 0
    assert store.add([BOAT]) == 1


@pytest.mark.process
def test_a_writer_that_is_killed_leaves_whole_batches(
    opened: Opened, postgres: Postgres, table: str
):
    store = opened(dimension=0, create=True)
    store.add([Document(f"{i}", "a boat") for i in range(50)])
    with locked(postgres, table) as lock:
        child = os.fork()
        if child == 0:
            store.add([Document(f"{i}", "a train") for i in range(25, 100)])
            os._exit(0)
        in_middle(postgres, "", "%INSERT INTO%")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lock.rollback()
    until(
        lambda: not postgres.run(f"SELECT {RUNNING} AND pid <> pg_backend_pid()", ["%INSERT INTO%"])
    )
    assert len(store) == 50
    assert ids(store, "text", "train") == []


def test_writers_of_the_same_documents_do_not_wait_for_each_other(opened: Opened):
    store = opened(dimension=0, create=True)
    documents = [Document(f"{i}", "a boat") for i in range(50)]
    threads = [
        threading.Thread(target=store.add, args=[documents if i % 2 else documents[::-1]])
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 50


def test_two_who_create_a_table_make_one(postgres: Postgres, table: str):
    stores: list[Store] = []

    def create() -> None:
        stores.append(open_store(postgres.url(table=table), dimension=2, create=True))

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.first_stages for store in stores] == [("text", "dense", "hybrid")] * 4
    for store in stores:
        store.close()


def test_a_document_that_is_too_large_is_refused(opened: Opened):
    store = opened(dimension=0, create=True)
    words = " ".join(f"w{i}" for i in range(200_000))
    with pytest.raises(
        InvalidDocumentError, match=r"too long for tsvector.*The longest is 'large'"
    ):
        store.add([BOAT, Document("large", words)])
    assert len(store) == 0


@pytest.fixture
def small_tablespace(postgres: Postgres) -> Iterator[str]:
    """A tablespace on a disk of 2 MB."""
    if postgres.secured is None:
        pytest.skip("the disks of another server are not ours")
    with tempfile.TemporaryDirectory() as folder:
        options = "size=2m"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting a small disk takes more rights than there are here")
        data = Path(postgres.run("SHOW data_directory")[0][0]).stat()
        os.chown(folder, data.st_uid, data.st_gid)
        Path(folder).chmod(0o700)
        try:
            postgres.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
            postgres.run("GRANT CREATE ON TABLESPACE small TO PUBLIC")
            yield "small"
        finally:
            postgres.run("DROP TABLE IF EXISTS crowded")
            postgres.run("DROP TABLESPACE small")
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_half_written(
    opened: Opened, small_tablespace: str, postgres: Postgres
):
    store = opened(table="crowded", dimension=0, create=True, words="")
    postgres.run(f"ALTER TABLE crowded SET TABLESPACE {small_tablespace}")
    store.add([BOAT])
    large = [Document(str(i), random_text(i)) for i in range(60)]
    with pytest.raises(StoreFullError, match="free some space there"):
        store.add(large)
    assert len(store) == 1
    assert ids(store, "text", "boat") == ["boat"]


def random_text(seed: int) -> str:
    """A text that PostgreSQL cannot compress."""
    return np.random.default_rng(seed).bytes(60_000).hex()


def test_a_forked_process_has_connections_of_its_own(opened: Opened, in_child):
    store = opened(dimension=0, create=True)
    store.add([BOAT])
    assert in_child(lambda: ids(store, "text", "boat") == ["boat"])
    assert ids(store, "text", "boat") == ["boat"]


def test_a_closed_store_is_told(opened: Opened):
    store = opened(dimension=0, create=True)
    store.close()
    with pytest.raises(Exception, match="is closed: open it again"):
        len(store)
