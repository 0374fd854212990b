"""How good synthetic slices are: distribution, variety, memorisation, plausibility."""
