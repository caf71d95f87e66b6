"""Recommendations: rank a user's candidates for what the user does now."""
