"""A run and its directory: the story of a training run, its files, checkpoints and progress."""
