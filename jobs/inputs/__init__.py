"""The cohort's source files: which reader reads them, and whether they can be read."""
