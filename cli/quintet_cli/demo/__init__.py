"""The acts of `quintet demo`."""
