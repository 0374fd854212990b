"""The report's tables, computed from metric files."""
