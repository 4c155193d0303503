"""A schema of its own for each test, on the server of the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crossfade.testing.postgres import PostgresPlace, TestServer, new_schema, run_sql, the_server


@pytest.fixture(scope="session")
def server() -> TestServer:
    return the_server()


@pytest.fixture
def place(server: TestServer) -> Iterator[PostgresPlace]:
    """A place whose schema is there already, so that a test may lay tables into it first."""
    place = PostgresPlace(server.url, new_schema(), retry="2s")
    run_sql(server.url, f'CREATE SCHEMA "{place.schema}"')
    place.made = True
    yield place
    run_sql(server.url, f'DROP SCHEMA "{place.schema}" CASCADE')
