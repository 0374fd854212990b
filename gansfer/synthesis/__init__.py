"""From generated slices to a labelled data set: postprocessing, scores, filter, files."""
