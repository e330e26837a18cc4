"""Entry points of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rerank_search.entry_points import exact_version, installed

GROUP = "a_group"

Install = Callable[..., Path]


def entry(install: Install, value: str = "tool.maker:Made", **version: str) -> EntryPoint:
    modules = {"tool/__init__.py": "", "tool/maker.py": "1 / 0", "tool/part.py": "PART = 1"}
    install(modules, {GROUP: {"made": value}}, **version)
    return installed(GROUP)["made"]


def test_a_version_is_the_same_for_the_same_code_in_another_folder(
    install_package: Install,
) -> None:
    # Nothing is imported: tool.maker would fail.
    assert exact_version(entry(install_package)) == exact_version(entry(install_package))


@pytest.mark.parametrize("file", ["tool/__init__.py", "tool/maker.py", "tool/part.py"])
def test_changed_code_is_another_version(
    install_package: Install, tmp_path: Path, file: str
) -> None:
    found = entry(install_package)
    before = exact_version(found)
    (tmp_path / "site-0" / file).write_text("CHANGED = True")
    assert exact_version(found) != before


def test_another_version_number_or_object_is_another_version(install_package: Install) -> None:
    versions = {
        exact_version(entry(install_package)),
        exact_version(entry(install_package, version="1.1")),
        exact_version(entry(install_package, "tool.maker:Other")),
    }
    assert len(versions) == 3


def test_code_in_a_namespace_package_and_in_a_single_module_counts(
    install_package: Install, tmp_path: Path
) -> None:
    modules = {"space/tool/__init__.py": "", "space/tool/maker.py": "", "alone.py": ""}
    entries = {"spaced": "space.tool.maker:Made", "alone": "alone:Made", "missing": "gone:Made"}
    site = install_package(modules, {GROUP: entries})
    found = installed(GROUP)
    before = {name: exact_version(each) for name, each in found.items()}
    (site / "space" / "other.py").write_text("it belongs to another distribution")
    assert before == {name: exact_version(each) for name, each in found.items()}
    (site / "space" / "tool" / "maker.py").write_text("CHANGED = True")
    (site / "alone.py").write_text("CHANGED = True")
    after = {name: exact_version(each) for name, each in found.items()}
    assert {name for name in found if after[name] != before[name]} == {"spaced", "alone"}
