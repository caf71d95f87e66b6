"""Checking and publishing model packages: a library, beside the command and never deployed."""
