"""The parts of the pages that are made from the code, so that they cannot drift.

    python tests/docs/generated.py      writes them anew

A generated part stands on its page between `<!-- generated: NAME -->` and `<!-- end of NAME -->`. Those of
matrix.md come from a run of the conformance suite, and are written by `tests/conformance/test_matrix.py`.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from crossfade import Capabilities, CrossfadeError, Repository, Store, Unit, errors

__all__ = ["PARTS", "part_of", "part_on", "plain", "put", "written"]

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def verbs() -> list[str]:
    """The verbs of a repository, in the order of the contract."""
    return [
        name
        for name, member in vars(Repository).items()
        if not name.startswith("_")
        and (
            inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member) or hasattr(member, "__wrapped__")
        )
    ]


def _signature(owner: type, name: str) -> str:
    member = inspect.unwrap(getattr(owner, name))
    found = inspect.signature(member)
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    text = str(found.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    returned = found.return_annotation
    return f"{name}{text}" + ("" if returned in ("", inspect.Signature.empty) else f" -> {returned}")


def _doc(owner: type, name: str | None = None) -> str:
    member = owner if name is None else getattr(owner, name)
    return inspect.cleandoc(inspect.unwrap(member).__doc__ or "")


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.;])\s", paragraph)[0].rstrip(";.") + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def verb_table() -> Iterator[str]:
    yield "| verb | |"
    yield "|---|---|"
    for name in verbs():
        yield f"| [`{name}`](#{name}) | {_cell(_first_sentence(_doc(Repository, name)))} |"


def verb_sections() -> Iterator[str]:
    for name in verbs():
        yield f"### {name}"
        yield ""
        yield "```text"
        yield from textwrap.wrap(_signature(Repository, name), 110, subsequent_indent=" " * (len(name) + 1))
        yield "```"
        yield ""
        yield _doc(Repository, name)
        yield ""


def around() -> Iterator[str]:
    yield _doc(Repository).partition("\n\n")[2].partition("polls = store.repository(Polls)\n\n")[2]
    yield ""
    for title, owner, name in (("Units of work", Unit, None), ("store.transact", Store, "transact")):
        yield f"### {title}"
        yield ""
        if name is not None:
            yield f"```text\n{_signature(owner, name)}\n```"
            yield ""
        yield _doc(owner, name)
        yield ""


def capabilities() -> Iterator[str]:
    tree = ast.parse(inspect.getsource(Capabilities)).body[0]
    assert isinstance(tree, ast.ClassDef)
    told = {}
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            told[ast.unparse(node.target)] = ast.unparse(node.annotation), str(after.value.value)
    yield "| capability | values | |"
    yield "|---|---|---|"
    for item in fields(Capabilities):
        kind, meaning = told[item.name]
        yield f"| `{item.name}` | {_cell(_values(kind))} | {_cell(' '.join(meaning.split()))} |"


def _values(annotation: str) -> str:
    """What a capability can be, in words."""
    words = re.findall(r"'(\w+)'", annotation)
    return ", ".join(words) if words else {"bool": "yes, no", "int": "a number", "str": "a word"}[annotation]


def plain(value: object) -> str:
    """A capability's value as the pages show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def error_tree() -> Iterator[str]:
    yield "```text"
    yield from _branch(CrossfadeError, "")
    yield "```"


def _branch(cls: type[CrossfadeError], indent: str) -> Iterator[str]:
    others = [base.__name__ for base in cls.__bases__[1:]]
    yield f"{indent}{cls.__name__}" + (f"  (also {', '.join(others)})" if others else "")
    for name in errors.__all__:
        child = getattr(errors, name)
        if child.__bases__[0] is cls:
            yield from _branch(child, indent + "    ")


PARTS: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "verbs": ("contract.md", verb_table),
    "each verb": ("contract.md", verb_sections),
    "around the verbs": ("contract.md", around),
    "capabilities": ("contract.md", capabilities),
    "tree": ("errors.md", error_tree),
}


def part_of(name: str) -> str:
    """What stands on the page now."""
    return part_on(PARTS[name][0], name)


def part_on(file: str, name: str) -> str:
    """What stands in a part of a page now."""
    found = re.search(f"{_BEGIN}\n(.*?){_END}".format(name), (DOCS / file).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{file} has no part {name!r}"
    return found[1].strip("\n")


def put(file: str, name: str, text: str) -> None:
    """Write a part of a page anew."""
    page = DOCS / file
    begin, end = _BEGIN.format(name), _END.format(name)
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{begin}\n")
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def written(name: str) -> str:
    """What the code says should stand there."""
    return "\n".join(PARTS[name][1]()).strip("\n")


_BEGIN = "<!-- generated: {0} -->"
_END = "<!-- end of {0} -->"


def main() -> None:
    for name, (file, _) in PARTS.items():
        put(file, name, written(name))


if __name__ == "__main__":
    main()
