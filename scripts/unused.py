"""What a dead-code finder takes for unused, and why it stays.

    .venv/bin/vulture budgets providers verifiers orchestrator scripts/unused.py

prints nothing where every entry is explained. tests/test_house.py runs it.
"""

_.__getattr__  # lazy public faces: names are loaded when first used

# Called by libraries under these names.
_.list_commands  # click
_.get_command
_.format_commands
_.get_buffer  # asyncio's protocols
sizehint
_.buffer_updated
_.connection_lost
_.data_received
_.on_message_begin  # httptools
_.on_header
_.on_headers_complete
_.on_body
_.on_message_complete
_.handle_error  # aiohttp
_.__class__
_.handle_async_request  # httpx2
_.forward  # torch
_.linkname  # tarfile
_.quit  # builtins, for a sample
_.__stdin__  # sys, for a sample
_.__stderr__
_.failfast  # unittest

# Commands, registered by their decorator.
monkey_business
human_eval
swebench
lm_eval
inspect
harbor
cost_table
doctor

# Looked up by name.
TASKS

# Offered to people and their code, and tested: values of a result that orch itself does not print.
SelfChecking
_.request_worst
_.trusted_like
_.peak_mb
_.neither
_.sd
_.from_counts
_.all_ready
paired_difference
coverage_at_cost
FIELDS
