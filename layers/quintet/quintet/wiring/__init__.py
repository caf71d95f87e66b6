"""The only place that builds things: a module for each group of functions."""
