"""One file for each place a model can come from; all have the shape told in `base`."""
