"""The plane: chains that walk to samples of one target, and networks that learn it while somebody watches."""
