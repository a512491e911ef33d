"""How an attempt is bought. Imports budgets only."""
