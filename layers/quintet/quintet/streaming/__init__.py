"""Streaming: records that arrive, scored in micro-batches and gathered into windows."""
