"""Batch scoring: plan a run over files, cut it into units, score the units, report the run."""
