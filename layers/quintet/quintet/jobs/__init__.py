"""Asynchronous serving: jobs, where they are kept, and what is announced of them."""
