"""`crossfade init`: a commented settings file, and a proposal of entities for data that is there."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from ..backends.registry import known_schemes
from ..errors import ReadOnly, SettingsError
from ..flags import DEFAULT_FILE, StoreUrl
from ..flags.plain import did_you_mean
from ..repos.catalogs import CATALOGS
from .frame import Run, command
from .observing import Seen, observe
from .proposing import Proposal, propose
from .showing import clean

__all__ = ["init"]


@command(
    "init",
    "Write a commented crossfade.toml, where --config says or in the current folder. With --from, look at a SQLite "
    "file, a JSON, JSONL or CSV file, or a folder of such files, and propose entity classes for what lies there. "
    "A file that is there is never overwritten without --force.",
    json=False,
)
@click.option("--from", "source", type=click.Path(path_type=Path), help="Data to propose entities for.")
@click.option("--store", metavar="URL", help="The store, such as sqlite:///app.db; without a password.")
@click.option("--old", metavar="URL", help="The store a move comes from, together with --new.")
@click.option("--new", metavar="URL", help="The store a move goes to.")
@click.option("--catalog", metavar="NAME", help=f"Entities that come with Crossfade: {', '.join(CATALOGS)}.")
@click.option(
    "--models",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the proposal is written. Default: entities.py beside the settings.",
)
@click.option("--print", "printing", is_flag=True, help="Print the proposal, and write nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.pass_obj
def init(
    run: Run,
    source: Path | None,
    store: str | None,
    old: str | None,
    new: str | None,
    catalog: str | None,
    models: Path | None,
    printing: bool,
    dry_run: bool,
    force: bool,
) -> None:
    settings = run.config or Path(DEFAULT_FILE)
    _judge(source, store, old, new, catalog, printing)
    proposal = None
    found: list[Seen] = []
    if source is not None:
        found = observe(source)
        proposal = propose(found, str(source))
    if printing:
        assert proposal is not None
        run.say(proposal.text)
        _doubts(run, proposal)
        return
    path = models or settings.parent / "entities.py"
    if proposal is not None and not (path.suffix == ".py" and path.stem.isidentifier()):
        raise SettingsError(f"--models: {clean(path)} cannot be imported; give a file such as entities.py")
    if source is not None and store is None and old is None and found[0].declared:
        store = _sqlite_url(source, settings)
    text = _settings_text(store, old, new, catalog, path.stem if proposal is not None else None)
    files = {settings: text} | ({path: proposal.text + "\n"} if proposal is not None else {})
    if not force:
        _refuse_there(files)
    for file, content in files.items():
        if not dry_run:
            _write(file, content)
        run.tell(f"{'would write' if dry_run else 'wrote'} {clean(file)}")
    if dry_run:
        run.say()
        run.say(text.rstrip())
    if proposal is not None:
        _doubts(run, proposal)
    if not dry_run:
        run.note("Next: crossfade doctor, and crossfade status.")


def _judge(
    source: Path | None, store: str | None, old: str | None, new: str | None, catalog: str | None, printing: bool
) -> None:
    """Refuse what does not go together, and every URL with a secret in it."""
    if store is not None and (old is not None or new is not None):
        raise click.UsageError("--store is one store, --old and --new are a move: give either")
    if (old is None) != (new is None):
        raise click.UsageError("a move needs both --old and --new")
    if source is not None and catalog is not None:
        raise click.UsageError("--from proposes entities and --catalog names some: give either")
    if printing and source is None:
        raise click.UsageError("--print prints the proposal of --from; give --from PATH")
    for name, text in (("store", store), ("old", old), ("new", new)):
        if text is not None:
            _refuse_secrets(name, StoreUrl.parse(text, known=known_schemes(), setting=f"--{name}"))
    if catalog is not None and catalog not in CATALOGS:
        raise SettingsError(
            f"--catalog: there is no catalog {clean(catalog, 60)!r}{did_you_mean(catalog, CATALOGS)}; "
            f"there is {', '.join(CATALOGS)}"
        )


def _refuse_secrets(name: str, url: StoreUrl) -> None:
    masked = repr(url.options) != repr(dict(url.options))
    if url.password is not None or masked:
        raise SettingsError(
            f"--{name}: the URL holds a password or token, and the settings file is no place for one. Leave it out here "
            f"and give the whole URL in the environment, as CROSSFADE_{name.upper()}; it stands in your shell's history now"
        )


def _sqlite_url(source: Path, settings: Path) -> str:
    """The database beside the settings, as a URL that holds where the settings file lies."""
    try:
        relative = source.absolute().relative_to(settings.absolute().parent)
    except ValueError:
        relative = source.absolute()
    return str(StoreUrl(scheme="sqlite", kind="sqlite", path=str(relative)))


def _doubts(run: Run, proposal: Proposal) -> None:
    for name, key in proposal.entities:
        run.note(f"{name}: key {', '.join(key)}")
    for doubt in proposal.doubts:
        run.note(f"guessed: {doubt}", style="warn")


# Files --------------------------------------------------------------------------------------------


def _refuse_there(files: Mapping[Path, str]) -> None:
    for path in files:
        if os.path.lexists(path):
            raise SettingsError(f"{clean(path)} is there already and was left as it is; give --force to overwrite it")


def _write(path: Path, content: str) -> None:
    """Put a file there, whole or not at all. It holds no secret, and others may read it as far as the umask lets them."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ReadOnly(f"{clean(path)} cannot be written ({error.strerror}); give this user the right to") from None


def _settings_text(store: str | None, old: str | None, new: str | None, catalog: str | None, module: str | None) -> str:
    entities = (
        f"catalog = {_toml(catalog)}"
        if catalog is not None
        else f"models = [{_toml(module)}]"
        if module is not None
        else '# models = ["myapp.entities"]'
    )
    moving = old is not None and new is not None
    lines = [
        "# Settings of Crossfade. The environment wins over what stands here: CROSSFADE_STORE, CROSSFADE_OLD,",
        "# CROSSFADE_NEW, CROSSFADE_STAGE. A URL with a password belongs there and not in this file.",
        "",
        "# Which entities there are: the modules that declare them, or a catalog that comes with Crossfade.",
        entities,
        *([] if catalog is not None else [f'# catalog = "{next(iter(CATALOGS))}"']),
        "",
        "# The one store. A relative path is relative to this file.",
        "# sqlite:///app.db   sqlite:////srv/app.db   file:///srv/data   postgresql://app@host/database",
        '# store = "sqlite:///app.db"' if moving else f"store = {_toml(store or 'sqlite:///app.db')}",
        "",
        "# A move has an old and a new store instead.",
    ]
    if moving:
        lines += ["[stores]", f"old = {_toml(old)}", f"new = {_toml(new)}"]
    else:
        lines += ["# [stores]", '# old = "file:data"', '# new = "sqlite:///new.db"']
    lines += [
        "",
        "# What one group of entities has for itself.",
        "# [groups.polls]",
        '# stage = "old-only"',
        '# retention = "30d"',
        '# gates = { soak = "24h", shadow_reads = 1000 }',
        "",
    ]
    return "\n".join(lines)


def _toml(text: str | None) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False)
