"""The tables that the catalog makes are those of the plan, but for differences that were decided and written down."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import crossfade
from crossfade.repos import federation

HERE = Path(__file__).parent
DECISIONS = HERE.parent.parent / "docs" / "decisions"

DECIDED = {
    "messages: the key is (id) in the plan, (recipient, id) here": "0022",
    "messages.created_at: the default is CURRENT_TIMESTAMP in the plan, none here": "0023",
    "votes.voted_at: the default is CURRENT_TIMESTAMP in the plan, none here": "0023",
    "session_roles.assigned_at: the default is CURRENT_TIMESTAMP in the plan, none here": "0023",
    "session_artifacts.attached_at: the default is CURRENT_TIMESTAMP in the plan, none here": "0023",
}
"""Each difference, and the page that says why."""


def described(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """What a database consists of, table by table, without what belongs to SQLite or to Crossfade itself."""
    names = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        name: _table(connection, name, sql) for name, sql in names if not name.startswith(("sqlite_", "crossfade_"))
    }


def _table(connection: sqlite3.Connection, name: str, sql: str) -> dict[str, Any]:
    columns = connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()
    key = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (name,)
    ).fetchall()
    references = connection.execute(
        'SELECT "from", "table", "to", on_delete FROM pragma_foreign_key_list(?)', (name,)
    ).fetchall()
    return {
        "columns": {column[1]: (column[2], bool(column[3] or column[5]), column[4]) for column in columns},
        "key": key,
        "sequence": "AUTOINCREMENT" in sql.upper(),
        "indexes": {index: " ".join(re.sub(r"([()])", r" \1 ", text).split()) for index, text in indexes},
        "references": sorted(references),
    }


def differences(plan: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> set[str]:
    """What is not the same, in words."""
    found = {f"the table {name} is only in one of them" for name in plan.keys() ^ ours.keys()}
    for name in plan.keys() & ours.keys():
        there, here = plan[name], ours[name]
        if there["key"] != here["key"]:
            found.add(f"{name}: the key is ({', '.join(there['key'])}) in the plan, ({', '.join(here['key'])}) here")
        found |= {
            f"{name}.{column} is only in one of them" for column in there["columns"].keys() ^ here["columns"].keys()
        }
        for column in there["columns"].keys() & here["columns"].keys():
            (type_, required, default), (own_type, own_required, own_default) = (
                there["columns"][column],
                here["columns"][column],
            )
            if (type_, required) != (own_type, own_required):
                found.add(f"{name}.{column} is {type_} {required} in the plan, {own_type} {own_required} here")
            if default != own_default:
                found.add(
                    f"{name}.{column}: the default is {default or 'none'} in the plan, {own_default or 'none'} here"
                )
        found |= {
            f"{name}: {what} {there[what]} in the plan, {here[what]} here"
            for what in ("sequence", "indexes", "references")
            if there[what] != here[what]
        }
    return found


async def test_every_table_is_the_plan_s(tmp_path: Path) -> None:
    """Tables, columns, types, defaults, keys, indexes with their names and conditions, references."""
    with closing(sqlite3.connect(":memory:")) as planned:
        planned.executescript((HERE / "plan.sql").read_text())
        plan = described(planned)
    async with crossfade.open(f"sqlite:///{tmp_path}/f.db", entities=federation.ENTITIES, environ={}):
        pass
    with closing(sqlite3.connect(tmp_path / "f.db")) as made:
        ours = described(made)
    assert len(plan) == len(federation.ENTITIES) == 11
    assert differences(plan, ours) == set(DECIDED)


def test_every_difference_was_decided() -> None:
    for difference, number in DECIDED.items():
        (page,) = DECISIONS.glob(f"{number}-*.md")
        assert difference.partition(":")[0].split(".")[0] in page.read_text(), page.name


def test_every_kind_of_difference_is_seen() -> None:
    """The comparison itself: each of these changes is told of."""
    text = (HERE / "plan.sql").read_text()
    changes = [
        ("option TEXT NOT NULL", "option TEXT"),
        ("subtask TEXT", "subtask INTEGER"),
        ("DEFAULT 'planning'", "DEFAULT 'done'"),
        ("PRIMARY KEY (poll_id, voter)", "PRIMARY KEY (voter, poll_id)"),
        ("WHERE read_at IS NULL", ""),
        ("idx_messages_recipient", "idx_recipient"),
        ("FOREIGN KEY (poll_id) REFERENCES polls(id)", "FOREIGN KEY (poll_id) REFERENCES polls(id) ON DELETE CASCADE"),
        (" AUTOINCREMENT", ""),
        ("CREATE TABLE profiles", "CREATE TABLE profile"),
        ("    traits TEXT,", ""),
    ]
    with closing(sqlite3.connect(":memory:")) as planned:
        planned.executescript(text)
        plan = described(planned)
    for before, after in changes:
        assert before in text
        with closing(sqlite3.connect(":memory:")) as changed:
            changed.executescript(text.replace(before, after, 1))
            assert differences(plan, described(changed)), before
