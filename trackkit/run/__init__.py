"""Many videos: jobs, workers, clusters, and the session that holds them."""
