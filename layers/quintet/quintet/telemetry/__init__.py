"""Logs and metrics: what every function's have in common. What is logged is never a payload.

A domain's own lines and metrics are beside it (`api/telemetry.py` and its likes). `powertools` is
how functions log and measure; `api/telemetry.py` writes the same for requests in a fraction of the
time.
"""
