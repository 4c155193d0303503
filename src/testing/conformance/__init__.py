"""The conformance suite."""
from __future__ import annotations
import pytest
_PARTS=('verbs', 'writing', 'texts', 'values', 'queries', 'aggregates', 'paging', 'units', 'apply_', 'relations', 'search', 'sequences', 'concurrency', 'lifecycle', 'safety')
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
from .relations import *
from .search import *
from .sequences import *
from .concurrency import *
from .lifecycle import *
from .safety import *
