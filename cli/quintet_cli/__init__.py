"""The `quintet` command and what only it needs. Never deployed."""
