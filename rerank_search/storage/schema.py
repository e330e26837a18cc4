"""The tables of the document store."""

SCHEMA = """
CREATE TABLE state (
    seq INTEGER NOT NULL, documents INTEGER NOT NULL, passages INTEGER NOT NULL,
    last_document INTEGER NOT NULL, last_passage INTEGER NOT NULL
);
INSERT INTO state VALUES (0, 0, 0, 0, 0);
CREATE TABLE documents (
    pk INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, head INTEGER NOT NULL,
    title TEXT NOT NULL, metadata TEXT NOT NULL, text TEXT NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (pk),
    seq INTEGER NOT NULL, start INTEGER, "end" INTEGER
);
CREATE INDEX passages_by_document ON passages (document);
CREATE INDEX passages_by_seq ON passages (seq);
CREATE INDEX passages_of_split ON passages (document) WHERE start IS NOT NULL;
CREATE TABLE removed (passage INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE INDEX removed_by_seq ON removed (seq);
CREATE TABLE attributes (
    key TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL, document INTEGER NOT NULL,
    member INTEGER NOT NULL, PRIMARY KEY (key, kind, value, document)
) WITHOUT ROWID;
CREATE INDEX attributes_by_document ON attributes (document);
"""
"""SQL of the tables that every version has. ``state`` has the counts and the last used numbers,
``removed`` the ids of removed passages."""

PATH_VALUES = """(
    key TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL, document INTEGER NOT NULL,
    member INTEGER NOT NULL, PRIMARY KEY (key, kind, value, document)
) WITHOUT ROWID"""
"""The columns of ``path_values``: as those of ``attributes``, for nested metadata keys."""

PATHS = (
    f"CREATE TABLE path_values {PATH_VALUES}",
    "CREATE INDEX path_values_by_document ON path_values (document)",
    "CREATE TABLE path_state (seq INTEGER NOT NULL)",
    "INSERT INTO path_state VALUES (-1)",
)
"""SQL of the tables that the first write of this version adds. ``path_state`` has the last change
that ``path_values`` has."""

VECTORS = """
CREATE TABLE vectors (
    document INTEGER PRIMARY KEY REFERENCES documents (pk), vector BLOB NOT NULL
);
"""
"""SQL of the table that only indexes of the users' own vectors have."""
