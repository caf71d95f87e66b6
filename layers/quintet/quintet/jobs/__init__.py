"""Asynchronous jobs: submitted, leased, scored together, settled, published."""
