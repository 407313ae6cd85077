"""A hands-on playground for generative models: VAE, GAN and diffusion, trained on the same pictures."""
