"""Multi-atlas label propagation: references, and the segmenter's rival."""
