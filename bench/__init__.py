"""The benchmark; `run` is its command."""
