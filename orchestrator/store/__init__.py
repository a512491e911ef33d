"""The run directory: one database, one writer, one lock."""
