"""Attempts bought through a provider's batch API: gathered, handed over, waited for, booked."""
