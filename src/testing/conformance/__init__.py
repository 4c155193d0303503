"""The suite that every backend passes, as classes for pytest: import them, and give them places.

    from crossfade.testing.conformance import *      # every test
    from crossfade.testing.conformance import Harness

    @pytest.fixture
    def harness(tmp_path):
        return Harness(lambda: MyPlace(...))          # see `harness`

Each class has one subject and can be imported alone, or subclassed to add to it. A test only ever asks
for a store and reads what the backend can do from its `Capabilities`: where something is missing it
checks what the capabilities promise instead, so nothing is skipped. `python -m pytest` needs no setting
and no plugin for it; `CROSSFADE_TEST_EXAMPLES=2000` makes the generated tests look further.
"""

from __future__ import annotations

from typing import Final

from ...errors import MissingExtra

try:
    import hypothesis as _hypothesis  # noqa: F401
    import pytest
except ImportError:
    raise MissingExtra("testing", "the conformance suite") from None

_PARTS: Final = (
    "aggregates",
    "apply_",
    "concurrency",
    "documents",
    "generated",
    "lifecycle",
    "model",
    "paging",
    "queries",
    "relations",
    "safety",
    "search",
    "sequences",
    "suite",
    "texts",
    "units",
    "values",
    "verbs",
    "writing",
)
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from .aggregates import TestAggregates  # noqa: E402
from .apply_ import TestApply  # noqa: E402
from .concurrency import TestCancellation, TestConcurrency  # noqa: E402
from .documents import TestDocuments, TestDocumentsMisuse  # noqa: E402
from .generated import TestFiltersAgainstAnOracle, TestRoundTrips  # noqa: E402
from .harness import Harness, Place  # noqa: E402
from .lifecycle import TestLifecycle  # noqa: E402
from .model import TestAgainstAModel  # noqa: E402
from .paging import TestCursors, TestOrder, TestScan  # noqa: E402
from .queries import TestFilters, TestMisuse  # noqa: E402
from .relations import TestReferences, TestRelated  # noqa: E402
from .safety import TestDamage, TestEvents, TestSecrets  # noqa: E402
from .search import TestSearch  # noqa: E402
from .sequences import TestSequences  # noqa: E402
from .suite import Suite  # noqa: E402
from .texts import TestLongText, TestText  # noqa: E402
from .units import TestUnitReads, TestUnits  # noqa: E402
from .values import TestEmptiness, TestKept, TestRefused  # noqa: E402
from .verbs import TestKeys, TestNames, TestVerbs  # noqa: E402
from .writing import TestBatches, TestMutate, TestOwnership, TestPatch, TestVersions  # noqa: E402

__all__ = [
    "Harness",
    "Place",
    "Suite",
    "TestAgainstAModel",
    "TestAggregates",
    "TestApply",
    "TestBatches",
    "TestCancellation",
    "TestConcurrency",
    "TestCursors",
    "TestDamage",
    "TestDocuments",
    "TestDocumentsMisuse",
    "TestEmptiness",
    "TestEvents",
    "TestFilters",
    "TestFiltersAgainstAnOracle",
    "TestKept",
    "TestKeys",
    "TestLifecycle",
    "TestLongText",
    "TestMisuse",
    "TestMutate",
    "TestNames",
    "TestOrder",
    "TestOwnership",
    "TestPatch",
    "TestReferences",
    "TestRefused",
    "TestRelated",
    "TestRoundTrips",
    "TestScan",
    "TestSearch",
    "TestSecrets",
    "TestSequences",
    "TestText",
    "TestUnitReads",
    "TestUnits",
    "TestVerbs",
    "TestVersions",
]
