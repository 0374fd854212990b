"""The specification: one YAML file, one model, and the plan of its tasks. Pure."""
