"""Makes the pages of docs/ into a static site: one HTML file a page, nothing fetched, no script.

usage: pages.py [FOLDER]      (build/site)

A link from page to page stays one; a link to a file of the checkout that is no page becomes plain text.
Every internal link is checked, and the first page that has a bad one is named.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

ORDER = ("index", "tutorial", "how-to", "entities", "contract", "settings", "errors", "file", "sqlite", "postgres")
"""The pages that lead the navigation; the others follow by name, and the decisions come last."""

STYLE = """
:root { color-scheme: light dark; --ground: #fdfcfa; --ink: #23211e; --soft: #6b675f; --rule: #dcd7cc; --code: #f3f0e9;
  --link: #2a5db0; }
@media (prefers-color-scheme: dark) { :root { --ground: #17181b; --ink: #e6e3dc; --soft: #a19d94; --rule: #393a3f;
  --code: #212327; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { background: var(--ground); color: var(--ink); font: 16px/1.6 system-ui, sans-serif; margin: 0 auto;
  max-width: 76rem; display: grid; grid-template-columns: 15rem minmax(0, 1fr); gap: 0 2.5rem; padding: 0 1.25rem; }
nav { border-right: 1px solid var(--rule); padding: 1.5rem 1rem 2rem 0; font-size: .92rem; position: sticky; top: 0;
  align-self: start; max-height: 100vh; overflow-y: auto; }
nav b { display: block; font-size: 1.1rem; margin-bottom: .6rem; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav a { display: block; padding: .15rem 0; color: var(--ink); text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav a[aria-current] { font-weight: 700; }
nav span, .soft { color: var(--soft); }
main { padding: 1.5rem 0 4rem; max-width: 50rem; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; } h2 { margin-top: 2.2rem; } h3 { margin-top: 1.6rem; }
pre { background: var(--code); padding: .8rem 1rem; overflow-x: auto; border-radius: .4rem; line-height: 1.45; }
code { font: .9em ui-monospace, monospace; }
:not(pre) > code { background: var(--code); padding: .1em .3em; border-radius: .25em; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule); }
@media (max-width: 50rem) { body { display: block; } nav { position: static; max-height: none; border: 0;
  border-bottom: 1px solid var(--rule); } nav .more { display: none; } }
"""


class Broken(Exception):
    """A page has a link that leads nowhere; the message names both."""


@dataclass
class Page:
    """One page: where it comes from, where it goes, and what others can link to."""

    source: Path
    target: str
    title: str
    body: str = ""
    headings: set[str] = field(default_factory=set)


def slug(heading: str) -> str:
    """The anchor of a heading, as the code hosts make it."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).strip().replace(" ", "-")


def sources() -> list[Path]:
    """The Markdown files, in the order of the navigation."""
    first = [DOCS / f"{name}.md" for name in ORDER]
    rest = sorted(path for path in DOCS.glob("*.md") if path not in first)
    return [*(path for path in first if path.exists()), *rest, *sorted((DOCS / "decisions").glob("*.md"))]


def page_of(source: Path) -> Page:
    text = source.read_text(encoding="utf-8")
    found = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    if found is None:
        raise Broken(f"{source.relative_to(ROOT)} has no title")
    target = source.relative_to(DOCS).with_suffix(".html").as_posix()
    return Page(source, target, found[1].replace("`", ""))


def render(page: Page, pages: dict[Path, Page]) -> None:
    """Fill in the page's body; links are left for `checked`."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Comments are marks for the tests; other HTML would be shown as text.
    text = re.sub(r"^<!--.*?-->\n?", "", page.source.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    tokens = reader.parse(text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            name = slug("".join(child.content for child in tokens[place + 1].children or []))
            page.headings.add(name)
            token.attrSet("id", name)
        if token.type == "inline":
            token.children = list(linked(page, token.children or [], pages))
    body = str(reader.renderer.render(tokens, reader.options, {}))
    page.body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def linked(page: Page, tokens: Sequence[Token], pages: dict[Path, Page]) -> Iterator[Token]:
    """The tokens with links between pages turned to where the pages go, and no link to what is no page."""
    dropped = False
    for token in tokens:
        if token.type == "link_open":
            where = str(token.attrGet("href") or "")
            turned = where if re.match(r"https?:", where) else turn(page, where, pages)
            dropped = turned is None
            if turned is not None:
                token.attrSet("href", turned)
                yield token
        elif token.type == "link_close":
            if not dropped:
                yield token
            dropped = False
        else:
            yield token


def turn(page: Page, where: str, pages: dict[Path, Page]) -> str | None:
    """The address of a relative link on the site, None when it leads to a file that is no page. Raises Broken."""
    name, _, heading = where.partition("#")
    there = (page.source.parent / name).resolve() if name else page.source
    anchor = f"#{heading}" if heading else ""
    if there in pages:
        return relative(page, pages[there].target) + anchor if name else anchor
    if there == DOCS / "decisions":
        return relative(page, "decisions/index.html")
    if not there.exists():
        raise Broken(f"{page.source.relative_to(ROOT)} links to {where}, which is not there")
    return None


def relative(page: Page, target: str) -> str:
    return os.path.relpath(target, Path(page.target).parent).replace(os.sep, "/")


def check(pages: Sequence[Page]) -> None:
    """Every link inside the site leads to a page of it, and to a heading that this page has. Raises Broken."""
    known = {page.target: page for page in pages}
    for page in pages:
        for where in re.findall(r'href="([^"]+)"', page.body):
            if re.match(r"https?:", where):
                continue
            name, _, heading = where.partition("#")
            target = os.path.normpath(Path(page.target).parent / name) if name else page.target
            if target not in known:
                raise Broken(f"{page.target} links to {where}, which is no page of the site")
            if heading and heading not in known[target].headings:
                raise Broken(f"{page.target} links to {where}, and {target} has no such heading")


def decisions(pages: Sequence[Page]) -> Page:
    """The list of the decisions."""
    listed = Page(DOCS / "decisions" / "index.md", "decisions/index.html", "Decisions")
    links = "".join(
        f'<li><a href="{relative(listed, page.target)}">{escape(page.title)}</a></li>'
        for page in pages
        if page.target.startswith("decisions/")
    )
    listed.body = f"<h1>Decisions</h1><p>What was chosen, what was refused, and why.</p><ul>{links}</ul>"
    return listed


def whole(page: Page, pages: Sequence[Page]) -> str:
    """The page with head and navigation."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    items = []
    for other in pages:
        if other.target.startswith("decisions/") and other.target != "decisions/index.html":
            continue
        here = ' aria-current="page"' if other is page else ""
        items.append(f'<li><a href="{relative(page, other.target)}"{here}>{escape(other.title)}</a></li>')
    title = page.title if page.target == "index.html" else f"{page.title} - Crossfade"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<nav><b>Crossfade</b><ul>{''.join(items)}</ul></nav>\n<main>\n{page.body}</main></body></html>\n"
    )


def build(folder: Path) -> list[Page]:
    """Write the site into `folder`; returns its pages. Raises Broken, and has then written nothing."""
    pages = [page_of(source) for source in sources()]
    by_source = {page.source: page for page in pages}
    for page in pages:
        render(page, by_source)
    pages.append(decisions(pages))
    check(pages)
    for page in pages:
        path = folder / page.target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(whole(page, pages), encoding="utf-8")
    return pages


def main(arguments: Sequence[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0] if arguments else ROOT / "build" / "site").resolve()
    try:
        pages = build(folder)
    except Broken as error:
        print(f"crossfade: {error}", file=sys.stderr)
        return 1
    print(f"{len(pages)} pages: {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
