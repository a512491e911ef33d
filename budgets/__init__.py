"""What an attempt may cost: prices, the ledger, limits. Imports nothing else of orch."""
