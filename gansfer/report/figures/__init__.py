"""The report's figures, drawn from its tables."""
