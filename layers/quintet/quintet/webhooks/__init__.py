"""Webhooks: registered endpoints, events, signatures, retries. No AWS, no network."""
