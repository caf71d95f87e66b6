"""What the panels read of a stage, through the same readers as the commands."""
