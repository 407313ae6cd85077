"""How fast the playground is: against diffusers' own pipelines, engine by engine, and in a visitor's browser."""
