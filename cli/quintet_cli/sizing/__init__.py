"""What `quintet size` measures of a model, and the settings that follow from it."""
