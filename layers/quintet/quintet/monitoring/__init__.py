"""Statistics of scored data: baselines, histograms, drift."""
