# Everything works from a clone with Python 3.11 or later and make: see README.md.
.PHONY: demo test check format setup

demo:
	@scripts/setup
	.venv/bin/orch run --provider local --budget 50

test:
	@scripts/setup dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -m "not slow"

check: test

format:
	@scripts/setup dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
