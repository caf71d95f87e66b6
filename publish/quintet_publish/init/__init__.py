"""`quintet init`: a model package from a graph and a sample of its data."""
