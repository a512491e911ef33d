"""Dictionaries, with which long texts are packed; texts of older runs stay as they are."""

from __future__ import annotations

STEPS = ("CREATE TABLE dictionaries (dictionary INTEGER PRIMARY KEY, content BLOB NOT NULL)",)
