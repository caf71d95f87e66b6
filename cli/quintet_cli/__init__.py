"""The `quintet` command and the code that only it uses. Never deployed."""
