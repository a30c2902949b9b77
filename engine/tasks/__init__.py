"""Tasks that are given to a model as examples in its context."""
