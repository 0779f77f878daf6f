"""A folder of the user's own images as a data set."""
