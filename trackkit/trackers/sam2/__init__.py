"""SAM 2 as an engine of masks."""
