"""One file of somebody else, read carefully: images and tables."""
