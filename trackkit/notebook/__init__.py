"""What a notebook shows, plots and takes by hand."""
