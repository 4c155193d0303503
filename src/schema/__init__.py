"""Changing the tables of SQL stores: what differs, additive steps, each recorded and taken back one by one."""
