"""Who decides: the stages of a move, the sources of settings, and the settings themselves."""

from __future__ import annotations

from .ask import Asked, Level, asked_stage, asks, check_names, stage_variables
from .loading import DEFAULT_FILE, load_settings
from .options import Converter, boolean, choice, duration, number_from, plain_text, positive_int, seconds, take_options
from .plain import FrozenMap
from .settings import Gate, GroupSettings, Settings
from .sources import Origin
from .stages import FlagName, Names, Side, Stage, TwoState, resolve_stage, stage_words
from .urls import Options, StoreUrl, same_place

__all__ = [
    "DEFAULT_FILE",
    "Asked",
    "Converter",
    "FlagName",
    "FrozenMap",
    "Gate",
    "GroupSettings",
    "Level",
    "Names",
    "Options",
    "Origin",
    "Settings",
    "Side",
    "Stage",
    "StoreUrl",
    "TwoState",
    "asked_stage",
    "asks",
    "boolean",
    "check_names",
    "choice",
    "duration",
    "load_settings",
    "number_from",
    "plain_text",
    "positive_int",
    "resolve_stage",
    "same_place",
    "seconds",
    "stage_variables",
    "stage_words",
    "take_options",
]
