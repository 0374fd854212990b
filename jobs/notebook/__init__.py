"""A run from Python: its cells' generators and segmenters, its metrics, its cohort."""
