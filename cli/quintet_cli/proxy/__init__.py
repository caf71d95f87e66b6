"""A sidecar on loopback that signs requests, passes them on, and combines small ones."""
