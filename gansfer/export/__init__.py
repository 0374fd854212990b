"""Labelled slices for other programs: nnU-Net, NIfTI, PNG."""
