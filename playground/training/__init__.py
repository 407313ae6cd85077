"""How the weights in `pretrained/` are made: losses, objectives and one loop for all families."""
