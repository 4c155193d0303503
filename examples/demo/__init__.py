"""The demo: one day of the federation, lived on one store after the other. `make demo` runs it."""
