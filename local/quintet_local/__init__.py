"""The local AWS: the services and the Lambda plane that run template.yaml on a laptop."""
