"""Batch scoring: a file becomes a run, a run is cut into units, units are scored and counted."""
