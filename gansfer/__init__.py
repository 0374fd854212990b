"""gansfer: GANsfer Learning (Bowles et al. 2018) for medical image segmentation with few labels."""

__version__ = "0.2.0"
