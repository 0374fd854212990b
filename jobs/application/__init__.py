"""Segment new images: with a cell of a run, or with a packaged model."""
