"""Asynchronous jobs: submit, lease, score in groups, settle, publish events."""
