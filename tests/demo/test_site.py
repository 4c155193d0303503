"""The site is whole: every page is there, every link inside leads somewhere, and nothing is fetched."""

from __future__ import annotations

import importlib.util
import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """scripts/pages.py, as a module."""
    spec = importlib.util.spec_from_file_location("pages_under_test", ROOT / "scripts" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks for its module there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the pages as they are."""
    folder = tmp_path_factory.mktemp("site")
    assert maker.main([str(folder)]) == 0
    return folder


class Reader(HTMLParser):
    """What a page links to, what others can link to, and what it would fetch or run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.policy = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "link", "img", "iframe", "object", "base"} or {"src", "style", "srcset"} & set(given):
            self.fetched.append(tag)
        if tag == "a":
            self.links.append(given["href"])
        if "id" in given:
            self.ids.append(given["id"])
        if "default-src" in given.get("content", ""):
            self.policy = given["content"]


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    assert made == pages | {Path("decisions", "index.html")}
    start = Reader(site / "index.html").links
    assert {path.as_posix() for path in made if path.parent == Path()} <= set(start)
    assert "decisions/index.html" in start


def test_every_link_inside_leads_to_a_page_and_a_heading(site: Path) -> None:
    """Looked at in the files that were written, without the maker's own check."""
    readers = {path.resolve(): Reader(path) for path in site.rglob("*.html")}
    inside = 0
    for path, reader in readers.items():
        for link in reader.links:
            if re.match(r"https?:", link):
                continue
            name, _, heading = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target in readers, f"{path.name} links to {link}"
            assert not heading or heading in readers[target].ids, f"{path.name} links to {link}"
            inside += 1
    assert inside > 200


def test_nothing_is_fetched_and_nothing_runs(site: Path) -> None:
    for path in site.rglob("*.html"):
        reader = Reader(path)
        assert reader.fetched == [], path.name
        assert reader.policy.startswith("default-src 'none'; style-src 'sha256-"), path.name
        assert "url(" not in path.read_text(encoding="utf-8").partition("</style>")[0]


def test_code_and_tables_arrive_as_they_are(site: Path) -> None:
    """Blocks are not read as markup, tables are tables, marks for the tests are not shown."""
    text = (site / "tutorial.html").read_text(encoding="utf-8")
    assert "class Polls(Repository[Poll]):" in unescape(text)
    assert "<!-- continues -->" not in unescape(text)
    assert "<table>" in (site / "how-to.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("# A page\n\n[there](nowhere.md)\n", "links to nowhere.md"),
        ("# A page\n\n[there](why.md#no-such-heading)\n", "has no such heading"),
        ("# A page\n\n[there](#no-such-heading)\n", "has no such heading"),
        ("No title\n", "has no title"),
    ],
)
def test_a_bad_link_stops_it_by_name(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    text: str, named: str,
) -> None:  # fmt: skip
    """Nothing is written then."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(text, encoding="utf-8")
    (docs / "why.md").write_text("# Why\n\n## Because\n", encoding="utf-8")
    monkeypatch.setattr(maker, "ROOT", tmp_path)
    monkeypatch.setattr(maker, "DOCS", docs)
    assert maker.main([str(tmp_path / "site")]) == 1
    assert named in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_markup_in_a_page_is_shown_not_run(maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# A <b>page</b>\n\n<script>alert(1)</script>\n", encoding="utf-8")
    monkeypatch.setattr(maker, "ROOT", tmp_path)
    monkeypatch.setattr(maker, "DOCS", docs)
    assert maker.main([str(tmp_path / "site")]) == 0
    assert "<script>" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
