"""The files of the project keep their promises: pins without addresses, short modules, declared names."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SRC = ROOT / "src"
MODULES = sorted(SRC.rglob("*.py"))

# In two halves, so that this file does not hold what it forbids.
REGISTRIES = [
    ("pypi", "org"),
    ("pypi", "python.org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("crates", "io"),
    ("proxy.golang", "org"),
    ("conda.anaconda", "org"),
    ("repo.maven.apache", "org"),
    ("repo1.maven", "org"),
    ("deb.debian", "org"),
    ("rubygems", "org"),
]
OPTIONS = ["index-url", "find-links", "trusted-host"]
HOSTS = [re.escape(f"{name}.{end}") for name, end in REGISTRIES]
FORBIDDEN = re.compile("|".join(HOSTS + [f"--(extra-)?{option}" for option in OPTIONS]))


def project_files() -> list[Path]:
    """What git tracks or would track; without git, everything but by-products."""
    try:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not {"__pycache__", ".venv", ".git"} & set(path.parts)]
    return [path for path in paths if path.is_file()]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_constraints_are_pins_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!+_-]*", line)
    ] == []
    names = [re.sub(r"[._-]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert sorted(set(names)) == sorted(names)


def test_every_dependency_is_pinned() -> None:
    """A name in pyproject.toml without a pin would give every machine another version."""
    pinned = {
        re.sub(r"[._-]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.sub(r"[._-]+", "-", re.split(r"[\[<>=!~; ]", line)[0]).lower() for line in asked}
    assert names - pinned - {"crossfade"} == set()


def test_no_file_names_a_package_index() -> None:
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{relative(path)}: {match.group()}" for match in FORBIDDEN.finditer(text)]
    assert found == []


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_every_module_declares_its_public_names() -> None:
    """A module says in __all__ what others may use, and every name there is real; private modules need not."""
    assert [f"{relative(path)}: {wrong}" for path in MODULES if (wrong := wrong_declaration(path))] == []


def wrong_declaration(path: Path) -> str | None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    private = path.name.startswith("_") and path.name != "__init__.py"
    if private or all(is_idle(node) for node in tree.body):
        return None
    declared: set[str] | None = None
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                bound |= {alias.asname or alias.name.partition(".")[0] for alias in names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case _:
                pass
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                declared = set(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                declared = set(ast.literal_eval(value))
            case _:
                pass
    if declared is None:
        return "has no __all__"
    missing = set() if "__getattr__" in bound else declared - bound
    return f"declares {', '.join(sorted(missing))} but does not have it" if missing else None


def is_idle(node: ast.stmt) -> bool:
    """A docstring or a __future__ import: nothing that anybody could use."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
