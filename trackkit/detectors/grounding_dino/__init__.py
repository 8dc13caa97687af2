"""GroundingDINO: boxes for whatever the prompt names."""
