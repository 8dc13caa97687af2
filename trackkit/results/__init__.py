"""What a run finds: tables, the results file, trust, pictures."""
