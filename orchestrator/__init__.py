"""The run: what to attempt, in what order, and what came of it."""
