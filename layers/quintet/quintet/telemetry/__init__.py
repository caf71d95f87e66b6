"""Logs and metrics: the part that all functions share. Payloads are never logged.

A domain's own log lines and metrics are in its package (`api/telemetry.py`, `jobs/telemetry.py`,
...). Functions log and measure with `powertools`; `api/telemetry.py` writes the same output for
requests in a fraction of the time.
"""
