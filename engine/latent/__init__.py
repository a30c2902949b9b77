"""The variational autoencoder over a model's states."""
