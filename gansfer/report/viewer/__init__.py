"""Segmentations to look at: which subjects, drawn as slices that a slider moves through."""
