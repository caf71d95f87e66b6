"""The daily report of a model, from its captures: drift, and the quality of what comes in."""
