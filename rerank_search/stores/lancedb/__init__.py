"""LanceDB: tables in a folder or in object storage, searched in this process."""
