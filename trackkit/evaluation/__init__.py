"""Results compared with ground truth."""
