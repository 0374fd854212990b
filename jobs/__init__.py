"""The cluster layer: an experiment's specification in, tasks and their products out."""
