"""Callers of the API that send a key or a token instead of an AWS signature."""
