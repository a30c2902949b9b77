"""Publication figures, one file a view; matplotlib, no Qt."""

SHARED = frozenset({"spec", "style", "colour", "lettering", "lines", "numbers"})
"""Modules beside this one that are no figure but serve all of them."""
