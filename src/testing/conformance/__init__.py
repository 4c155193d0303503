"""The conformance suite."""
from __future__ import annotations
import pytest
_PARTS=("verbs","writing")
pytest.register_assert_rewrite(*(f"{__name__}.{p}" for p in _PARTS))
from .harness import Harness, Place
from .verbs import *
from .writing import *
