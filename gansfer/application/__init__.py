"""A trained segmenter in use: one file that says all of it, and new images on their own grid."""
