"""From a volume to the common space: bias, registration, normalisation, checks."""
