"""Studies that travel: the small files of all runs in one archive, and back into a results folder elsewhere."""
