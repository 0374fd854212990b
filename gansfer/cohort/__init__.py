"""From raw brain MRI to checked shards, folds and GAN channels."""
