"""Run tasks: one by itself, or all of them on this machine."""
