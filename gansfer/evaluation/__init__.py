"""Overlap, surfaces, statistics, and what volumes tell of dementia."""
