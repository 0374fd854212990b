"""One file a stage: read products, call gansfer, write products."""
