"""Plain torch: networks, their reading as graphs, tuning, weight products."""
