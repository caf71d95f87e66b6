"""Telling callers that their jobs ended: registered endpoints, signatures, retries. Pure."""
