"""Statistics of what is scored: baselines, histograms, drift."""
