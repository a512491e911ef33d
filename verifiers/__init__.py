"""Whether an attempt is right. Imports nothing else of orch."""
