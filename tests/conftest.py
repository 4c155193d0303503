"""For all tests: pytest inside pytest, which only the topmost conftest may ask for."""

from __future__ import annotations

pytest_plugins = ["pytester"]
