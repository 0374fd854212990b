"""Random variants of labelled slices: deformed, with other intensities."""
