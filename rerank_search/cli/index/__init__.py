"""``rerank-search index ...``: make, fill and look after indexes."""

from __future__ import annotations

import typer

from rerank_search.cli.index import (
    add,
    build,
    compact,
    create,
    delete,
    documents,
    drop,
    info,
    list,
    rebuild,
    set_option,
    verify,
)

app = typer.Typer(
    help="Create, fill and maintain indexes.", no_args_is_help=True, rich_markup_mode=None
)
app.command("build")(build.build)
app.command("create")(create.create)
app.command("add")(add.add)
app.command("delete")(delete.delete)
app.command("documents")(documents.documents)
app.command("drop")(drop.drop)
app.command("info")(info.info)
app.command("list")(list.list_indexes)
app.command("set")(set_option.set_option)
app.command("verify")(verify.verify)
app.command("rebuild")(rebuild.rebuild)
app.command("compact")(compact.compact)
