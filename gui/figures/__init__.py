"""Publication figures, one file a view; matplotlib, no Qt."""
