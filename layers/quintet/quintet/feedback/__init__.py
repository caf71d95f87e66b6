"""Feedback on recommendations: what users saw, clicked and bought of what was shown to them."""
