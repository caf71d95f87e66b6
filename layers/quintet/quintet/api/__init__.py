"""The HTTP resources: predictions, jobs, runs, scores, and the events of API Gateway."""
