"""Crossfade: repositories over files, databases and graphs, and a way to move between them while running."""

from __future__ import annotations

from .backends.base import Capabilities
from .entity import Edge, Entity, Index, Reference, entity, entity_of, fields
from .errors import (
    BadCursor,
    Conflict,
    Corrupt,
    CorruptRecord,
    CrossfadeError,
    DanglingReference,
    DeclarationError,
    DiskFull,
    Duplicate,
    FlagError,
    GateRefused,
    InvalidQuery,
    InvalidRecord,
    Locked,
    Missing,
    MissingExtra,
    NotAStore,
    ReadOnly,
    RecordError,
    SchemaMismatch,
    SettingsError,
    Unavailable,
    Unsupported,
)
from .events import Event, Events, Runtime, new_id, now, use_runtime
from .flags import FlagName, Settings, Stage, StoreUrl, load_settings
from .query import Aggregate, Condition, FieldRef, Order, count
from .repos.opening import Opening
from .repos.opening import open_store as open
from .repos.repository import Repository, Scope
from .repos.results import Page, Versioned
from .repos.store import Store
from .repos.sync import SyncRepository, SyncStore, SyncUnit, open_sync
from .repos.unit import Unit
from .secret import Secret
from .shapes import Column, Ref, Supplied
from .values import Json

__all__ = [
    "Aggregate",
    "BadCursor",
    "Capabilities",
    "Column",
    "Condition",
    "Conflict",
    "Corrupt",
    "CorruptRecord",
    "CrossfadeError",
    "DanglingReference",
    "DeclarationError",
    "DiskFull",
    "Duplicate",
    "Edge",
    "Entity",
    "Event",
    "Events",
    "FieldRef",
    "FlagError",
    "FlagName",
    "GateRefused",
    "Index",
    "InvalidQuery",
    "InvalidRecord",
    "Json",
    "Locked",
    "Missing",
    "MissingExtra",
    "NotAStore",
    "Opening",
    "Order",
    "Page",
    "ReadOnly",
    "RecordError",
    "Ref",
    "Reference",
    "Repository",
    "Runtime",
    "SchemaMismatch",
    "Scope",
    "Secret",
    "Settings",
    "SettingsError",
    "Stage",
    "Store",
    "StoreUrl",
    "Supplied",
    "SyncRepository",
    "SyncStore",
    "SyncUnit",
    "Unavailable",
    "Unit",
    "Unsupported",
    "Versioned",
    "count",
    "entity",
    "entity_of",
    "fields",
    "load_settings",
    "new_id",
    "now",
    "open",
    "open_sync",
    "use_runtime",
]
