"""How each family of models is run and listened to: one file a family, found by scanning."""
