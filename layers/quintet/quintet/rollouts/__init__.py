"""Rollouts: a candidate version beside the live one, judged by what both did, step by step."""
