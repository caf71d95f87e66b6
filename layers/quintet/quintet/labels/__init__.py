"""Labels, what came true of predictions: kept beside captures, and joined with them to quality."""
