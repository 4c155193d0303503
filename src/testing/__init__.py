"""Help for testing: what an application needs for its own tests, and the suite that every backend passes.

    fakes          a clock that stands until told to go on, ids that count: `Runtime(clock=ManualClock())`
    plugin         the pytest fixtures `crossfade_store` and `crossfade_store_sync`, over several backends
    harnesses      places in memory and in SQLite files, as the suite wants them
    files          the same in folders of files
    postgres       the same in PostgreSQL, with a server for tests
    conformance    the suite itself: pytest classes that a backend's author imports

An application that has pytest writes one fixture and tests its repositories on every backend:

    @pytest.fixture
    def crossfade_entities():
        return [Poll, Vote]

    async def test_a_vote_is_kept(crossfade_store):
        votes = crossfade_store.repository(Vote)
        ...

Without pytest this module and the fakes work; what needs pytest raises MissingExtra when it is imported.
"""

from __future__ import annotations

from .fakes import CountingIds, ManualClock

__all__ = ["CountingIds", "ManualClock"]
