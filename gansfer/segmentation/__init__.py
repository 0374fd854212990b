"""The segmentation network: 2-D DeepMedic, its segments, training and inference (III.C)."""
