"""Which pattern suits a use, and why: `quintet choose`."""
