"""The conformance suite."""
from __future__ import annotations
import pytest
_PARTS=('verbs', 'writing', 'texts', 'values', 'queries', 'aggregates', 'paging', 'units', 'apply_')
pytest.register_assert_rewrite(*(f"{__name__}.{p}" for p in (*_PARTS,"suite")))
from .harness import Harness, Place
from .verbs import *
from .writing import *
from .texts import *
from .values import *
from .queries import *
from .aggregates import *
from .paging import *
from .units import *
from .apply_ import *
