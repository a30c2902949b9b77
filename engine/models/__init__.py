"""Where models come from and how each family is read."""
