"""Ways to draw states on a plane: one file a way, found by scanning. None imports torch."""
