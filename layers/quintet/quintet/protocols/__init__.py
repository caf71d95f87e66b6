"""The wire forms of predictions: Open Inference Protocol, SageMaker, records."""
