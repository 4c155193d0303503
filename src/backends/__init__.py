"""Where records live. Each backend is a room of its own; only these rooms import drivers."""
