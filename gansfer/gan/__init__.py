"""The progressively growing GAN and its three phases: newcomers start at `phases.py`."""
