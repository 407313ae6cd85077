"""How good the models are: a feature network of our own, distances between sets of pictures, the quality table."""
