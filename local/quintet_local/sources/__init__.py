"""Event sources: pure state machines, each with a thin driver."""
