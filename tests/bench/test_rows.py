"""Which rows are measured, by whom, and what their figures are said to mean."""

from __future__ import annotations

import pytest
from bench.contenders import Entry
from bench.run import present
from bench.targets import ROWS, Row, chosen, verdict

GET = Row(family="sqlite", short="get-1", title="get", operation="get", must=5, goal=0.5)


def test_an_unknown_row_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="sqlite-insert-full-64"):
        chosen("sing")


def test_rows_are_chosen_by_name_or_by_how_they_begin_in_every_family_that_has_them() -> None:
    assert [row.name for row in chosen("sqlite-insert-full,file-get-1")] == [
        "sqlite-insert-full-1",
        "sqlite-insert-full-64",
        "file-get-1",
    ]
    assert [row.name for row in chosen("update-6")] == ["file-update-64", "postgres-update-64"]
    assert [row.name for row in chosen("get-1")] == ["sqlite-get-1", "file-get-1", "postgres-get-1"]


def test_a_family_is_chosen_by_its_name_and_everything_by_none() -> None:
    assert {row.family for row in chosen("file")} == {"file"}
    assert [row for row in ROWS if row.family == "file"] == chosen("file")
    assert chosen(None) == list(ROWS)


def test_no_two_rows_have_one_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("to_goal", "to_must", "means"),
    [(0.5, 5.0, "goal"), (0.49, 5.0, "met"), (0.9, 4.9, "missed"), (0.49, None, "unknown"), (0.5, None, "goal")],
)
def test_a_verdict_follows_from_both_ratios(to_goal: float, to_must: float | None, means: str) -> None:
    assert verdict(GET, to_goal, to_must) == means


def test_who_lacks_a_package_is_told_of_and_left_out_and_a_bonus_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks = {"no_such_module_at_all": "no-such-package"}
    here = Entry(name="raw", title="raw", module="raw", packages={"json": "json"})
    gone = Entry(name="gone", title="Gone", module="gone", packages=lacks)
    bonus = Entry(name="bonus", title="Bonus", module="bonus", packages=lacks, bonus=True)
    monkeypatch.setattr("bench.run.ENTRIES", {"file": (here, gone, bonus)})
    absent: list[dict[str, str]] = []
    assert present("file", absent) == [here]
    assert [(item["name"], item["missing"]) for item in absent] == [("file-gone", "no-such-package")]
    told = capsys.readouterr().err
    assert "without Gone: no-such-package not installed" in told
    assert "Bonus" not in told
