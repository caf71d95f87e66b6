"""Streaming: score records in micro-batches and aggregate them in windows."""
