"""Predictions as they were served: as log lines online, as rows of one table in S3."""
