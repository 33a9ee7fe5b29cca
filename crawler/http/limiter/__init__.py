"""How many requests a server gets at once, and how fast they start."""
