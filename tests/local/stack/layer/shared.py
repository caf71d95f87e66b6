"""What a layer brings."""

ANSWER = "from the layer"
