"""A first experiment file: from the data that are there, or a copy of one that comes along."""
