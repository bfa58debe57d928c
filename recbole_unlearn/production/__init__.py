"""What an operator runs beside training: the jobs, and the readers of files that nobody vouches for."""
