"""Builds the objects that functions use: one module for each group of functions."""
