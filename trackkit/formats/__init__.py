"""Formats of other tools, one file each: written from results, read as ground truth."""
