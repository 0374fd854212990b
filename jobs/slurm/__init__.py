"""SLURM: arrays, submission, queue and accounting, containers, how tasks stand."""
