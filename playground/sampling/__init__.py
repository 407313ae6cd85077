"""Noise from seeds, paths through latent space, the reverse process; knows no concrete network."""
