"""Webhooks: registered endpoints, events, signatures, retries. Pure."""
