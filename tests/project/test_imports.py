"""Who may import what, as far as a look at each file can tell; `make check` holds the layers."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
SRC = ROOT / "src"

DRIVERS = {
    "sqlite3": {"backends.sqlite"},
    "sqlalchemy": {"backends.sql", "backends.sqlite", "backends.postgres", "schema"},
    "alembic": {"schema"},
    "asyncpg": {"backends.postgres"},
    "psycopg": {"backends.postgres"},
    "httpx": {"backends.graph"},
    "pickle": set(),
    "shelve": set(),
    "marshal": set(),
}
"""Each driver, and the only rooms that import it. What is empty nobody imports."""


class Import(NamedTuple):
    """One import of one module, as it stands in a file of src."""

    where: str  # file and line
    importer: str  # module, without crossfade
    package: str  # the package the importer is in
    target: str  # absolute for what is not ours; without crossfade for what is
    ours: bool
    always: bool  # done when the module is imported: not inside a function, not for types only


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def nodes(node: ast.AST, always: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, always
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Try) or is_for_types(child)
        yield from nodes(child, always and not deferred)


def is_module(name: str) -> bool:
    path = SRC.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports() -> Iterator[Import]:
    for path in sorted(SRC.rglob("*.py")):
        importer = module_name(path)
        package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
        for node, always in nodes(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(where, importer, package, alias.name, False, always)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield Import(where, importer, package, node.module or "", False, always)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".") if package else []
                base = above[: len(above) - (node.level - 1)] + ([node.module] if node.module else [])
                for alias in node.names:
                    deeper = ".".join([*base, alias.name])
                    target = deeper if is_module(deeper) else ".".join(base)
                    yield Import(where, importer, package, target, True, always)


ALL = list(imports())


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_there_are_imports_to_look_at() -> None:
    assert len(ALL) > 20


def test_drivers_are_imported_only_in_their_rooms() -> None:
    strays = [
        f"{found.where} imports {found.target}"
        for found in ALL
        if not found.ours
        and (rooms := DRIVERS.get(found.target.partition(".")[0])) is not None
        and not within(found.importer, "testing")
        and not any(within(found.importer, room) for room in rooms)
    ]
    assert strays == []


def test_imports_inside_are_relative() -> None:
    assert [f for f in ALL if not f.ours and f.target.partition(".")[0] in {"crossfade", "src", "tests"}] == []


def test_no_module_imports_the_public_face() -> None:
    """`crossfade/__init__.py` gathers names from below; importing it from below goes in a circle."""
    assert [found.where for found in ALL if found.ours and found.target == "" and found.importer != ""] == []


def test_underscore_modules_are_used_only_in_their_own_room() -> None:
    strays = []
    for found in ALL:
        parts = found.target.split(".")
        for place, part in enumerate(parts):
            if found.ours and part.startswith("_") and not within(found.package, ".".join(parts[:place])) and place:
                strays.append(f"{found.where} reaches into {found.target}")
    assert strays == []


def test_what_a_module_always_imports_is_a_declared_dependency() -> None:
    """What only comes along with another package may go when that package changes its mind."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("-", "_") for line in requirements}

    core = names(project["dependencies"]) | {"pydantic_core"}  # pinned to its version by pydantic itself
    testing = core | names(project["optional-dependencies"]["testing"])
    strays = [
        f"{found.where} imports {found.target}"
        for found in ALL
        if found.always
        and not found.ours
        and (top := found.target.partition(".")[0]) not in sys.stdlib_module_names
        and top not in (testing if within(found.importer, "testing") else core)
    ]
    assert strays == []
