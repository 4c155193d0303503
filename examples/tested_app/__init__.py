"""A small application, and its tests on every store that it could be given."""
