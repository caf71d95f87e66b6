"""Inspect refused messages, rows and records, and send them back to where they came from."""
