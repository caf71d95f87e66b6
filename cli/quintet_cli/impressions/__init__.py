"""Logged recommendations: joined with their feedback, exported, and evaluated off-policy."""
