"""Weights of models: what was released, what ships, where it is, how to get it."""
