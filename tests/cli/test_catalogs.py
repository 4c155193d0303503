"""From the settings to the entity classes: what is found, and what is said where nothing is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import crossfade
from crossfade.repos import federation
from crossfade.repos.catalogs import CATALOGS, declared_classes

from .conftest import Runner

ENTITY = "from dataclasses import dataclass\nimport crossfade\n@crossfade.entity('{0}', key='id')\n@dataclass\nclass {1}:\n    id: str\n"


def settings(**options: object) -> crossfade.Settings:
    return crossfade.load_settings("memory:", environ={}, options=options)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable folder with a package of entities; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "ashop").mkdir()
    (tmp_path / "ashop" / "__init__.py").write_text("")
    (tmp_path / "ashop" / "entities.py").write_text(ENTITY.format("things", "Thing"))
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    (tmp_path / "wrong.py").write_text(ENTITY.format("Wrong Name", "Wrong"))
    return tmp_path


async def test_a_catalog_by_its_name() -> None:
    assert declared_classes(settings(catalog="federation")) == list(federation.ENTITIES)
    assert set(CATALOGS) == {"federation"}
    async with crossfade.open("memory:", options={"catalog": "federation"}, environ={}) as store:
        assert {entity.cls for entity in store.entities} == set(federation.ENTITIES)


def test_modules_by_their_names(here: Path) -> None:
    """A module without entities is fine beside one with some; a class that two modules have counts once."""
    (here / "again.py").write_text("from ashop.entities import Thing\n")
    found = declared_classes(settings(models=["plain", "ashop.entities", "again"]))
    assert [cls.__name__ for cls in found] == ["Thing"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"catalog": "federatoin"}, "did you mean 'federation'?"),
        ({"catalog": "federation", "models": ["x"]}, "give one"),
        ({}, "no entities are given"),
        ({"models": ["ashop.entites"]}, "there is no 'ashop.entites'; did you mean 'entities'?"),
        ({"models": ["ahsop.entities"]}, "there is no 'ahsop'; did you mean 'ashop'?"),
        ({"models": ["plain.inner"]}, "there is no 'plain.inner'"),
        ({"models": ["plain"]}, "declare no entities"),
        ({"models": ["broken"]}, "raises ModuleNotFoundError: No module named 'no_such_thing'"),
        ({"models": ["a b"]}, "there is no 'a b'"),
        ({"models": [".entities"]}, "there is no '.entities'"),
        ({"models": [""]}, "there is no ''"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(here: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(crossfade.SettingsError) as caught:
        declared_classes(settings(**options))
    assert told in str(caught.value)


def test_the_folders_that_were_searched_are_named(here: Path) -> None:
    with pytest.raises(crossfade.SettingsError) as caught:
        declared_classes(settings(models=["zzz"]))
    assert str(here) in str(caught.value)
    assert "site-packages" not in str(caught.value)


def test_a_wrong_declaration_is_told_as_such(here: Path) -> None:
    with pytest.raises(crossfade.DeclarationError, match="Wrong Name"):
        declared_classes(settings(models=["wrong"]))


def test_the_current_folder_is_importable(run_fresh: Runner, tmp_path: Path) -> None:
    """Also where the command is a script that lies elsewhere, as an installed one does."""
    (tmp_path / "shop.py").write_text(ENTITY.format("things", "Thing"))
    (tmp_path / "crossfade.toml").write_text('models = ["shop"]\nstore = "sqlite:///x.db"\n')
    assert run_fresh("status", "--json", PYTHONSAFEPATH="1").json["groups"][0]["group"] == "things"
