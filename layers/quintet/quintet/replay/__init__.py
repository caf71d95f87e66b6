"""Look at what was refused (messages, rows, records), and put it back to where it came from."""
