"""Checks and publishes model packages: a library beside the command, never deployed."""
