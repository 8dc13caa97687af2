"""A run as it goes on, for whoever watches it."""
