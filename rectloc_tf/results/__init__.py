"""What a run leaves behind: metrics, the run folder, pictures and tables."""
