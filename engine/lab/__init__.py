"""Small models trained here."""
