"""Python imports this at start where its folder is on PYTHONPATH: plants the fault that is set."""

from importlib import import_module

import_module("planted_fault").install_from_environment()  # from this folder
