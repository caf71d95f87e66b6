"""The commands, one module for each group: parse, one call, render."""
