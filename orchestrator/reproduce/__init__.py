"""The paper's results through the real pipeline."""
