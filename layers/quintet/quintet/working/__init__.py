"""Working on jobs: what the queue delivers is leased, scored together, settled and announced."""
