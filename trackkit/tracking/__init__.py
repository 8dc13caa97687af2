"""One video from its frames to its rows."""
