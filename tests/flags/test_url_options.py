"""Options of a store URL are read strictly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crossfade.errors import SettingsError
from crossfade.flags import (
    Converter,
    StoreUrl,
    boolean,
    choice,
    duration,
    number_from,
    plain_text,
    positive_int,
    seconds,
    take_options,
)

ALLOWED: dict[str, Converter[Any]] = {
    "busy_timeout": duration,
    "synchronous": choice("full", "normal"),
    "pool": positive_int,
    "triggers": boolean,
    "schema": plain_text,
    "retries": number_from(0, 9),
}


def test_options_are_converted_and_absent_ones_stay_absent() -> None:
    """What the URL gives is converted; what it does not give is left to the backend's default."""
    url = StoreUrl.parse("sqlite:///a.db?busy_timeout=250ms&synchronous=full&pool=4&triggers=on&schema=x&retries=0")
    assert take_options(url, ALLOWED) == {
        "busy_timeout": timedelta(milliseconds=250),
        "synchronous": "full",
        "pool": 4,
        "triggers": True,
        "schema": "x",
        "retries": 0,
    }
    assert take_options(StoreUrl.parse("sqlite:///a.db"), ALLOWED) == {}


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("busytimeout=5", "unknown option 'busytimeout'; did you mean 'busy_timeout'?"),
        ("zzz=5", "unknown option 'zzz'; sqlite takes busy_timeout, pool"),
        ("busy_timeout=soon", "busy_timeout must be a duration such as 5s"),
        ("synchronous=FULL", "synchronous must be one of full, normal"),
        ("pool=0", "pool must be a whole number, 1 or more"),
        ("retries=10", "retries must be a whole number, 0 to 9"),
        ("triggers=yes", "triggers must be true, false, 1, 0, on or off"),
        ("schema=", "schema must be text that is not empty"),
    ],
)
def test_wrong_options_are_refused(query: str, complaint: str) -> None:
    """An unknown option is refused with the nearest one, a wrong value with what is taken."""
    with pytest.raises(SettingsError) as caught:
        take_options(StoreUrl.parse(f"sqlite:///a.db?{query}"), ALLOWED)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5s", timedelta(seconds=5)),
        ("250ms", timedelta(milliseconds=250)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("90", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("0", timedelta()),
    ],
)
def test_durations(text: str, value: timedelta) -> None:
    """A duration is a number with ms, s, m, h or d; a plain number is seconds."""
    assert duration(text) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "5 s", "s", "5S", "1h30m", "inf", "nan", "1e3", "\u0665s", "1_0s", "999999999999d", "+5"]
)
def test_not_durations(text: str) -> None:
    """Anything else is no duration."""
    with pytest.raises(ValueError, match="duration such as"):
        duration(text)


@pytest.mark.parametrize(("number", "value"), [(100, 100.0), (0, 0.0), (0.25, 0.25), (86400, 86400.0)])
def test_durations_from_numbers(number: float, value: float) -> None:
    """A number in the settings file is a number of seconds."""
    assert seconds(number).total_seconds() == value


@pytest.mark.parametrize("number", [-1, float("nan"), float("inf"), 1e300])
def test_not_durations_from_numbers(number: float) -> None:
    """A negative, infinite or huge number is no duration."""
    with pytest.raises(ValueError):
        seconds(number)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("on", True), ("false", False), ("0", False), ("off", False)]
)
def test_booleans(text: str, value: bool) -> None:
    """A boolean option has exactly six spellings."""
    assert boolean(text) is value
    if not text.isdigit():
        with pytest.raises(ValueError):
            boolean(text.title())


@pytest.mark.parametrize("text", ["", "1_000", " 5", "5 ", "+5", "-5", "1.0", "\u0665", "1" * 5000])
def test_not_whole_numbers(text: str) -> None:
    """A whole number is ASCII digits only, and not endless."""
    with pytest.raises(ValueError):
        positive_int(text)


def test_a_converter_never_repeats_the_value() -> None:
    """Whatever text the reader's ValueError has, the user sees only what is accepted."""
    with pytest.raises(SettingsError) as caught:
        take_options(StoreUrl.parse("sqlite:///a.db?pool=Canary7Qx"), {"pool": Converter("a number", int)})
    assert str(caught.value).count("Canary7Qx") == 1, "once: in the masked URL, whose option is no secret by its name"
    with pytest.raises(SettingsError) as caught:
        take_options(StoreUrl.parse("sqlite:///a.db?api_key=Canary7Qx"), {"api_key": Converter("a number", int)})
    assert "Canary7Qx" not in str(caught.value)
