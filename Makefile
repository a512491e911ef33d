# Everything works from a clone with Python 3.11 or later and make: see README.md.
.PHONY: demo test test-slow check format

demo:
	@scripts/setup
	.venv/bin/orch run --provider local --budget 50

test:
	@scripts/setup dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow" -n 3 --dist loadfile --ignore tests/sandbox --ignore tests/run
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow" -n 3 tests/run
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow" tests/sandbox

# The longer proofs: kills at random moments, twenty seeds of faults, simulations (half an hour).
test-slow:
	@scripts/setup dev
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m slow --timeout 3600

check: test

format:
	@scripts/setup dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
