"""What is asked of a stored run: judged again, scored by a reward model, held against a bill."""
