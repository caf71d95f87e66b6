"""The console: a page about a stage, served on this machine with the user's own credentials."""
