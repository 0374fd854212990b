"""The only room that knows paths: products, manifests, locks, partial results, scratch."""
