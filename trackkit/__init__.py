"""Track what a text prompt names through many videos, on every GPU you have."""

__version__ = "0.1.0"
