"""The built-in cohort: a parametric anatomy with true labels of every subject."""
