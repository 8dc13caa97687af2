"""Objects followed by their masks, by any engine that fulfils ``MaskEngine``."""
