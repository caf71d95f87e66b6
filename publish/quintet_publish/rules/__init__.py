"""The rules of a contract: pure functions that yield each place and what was expected there."""
