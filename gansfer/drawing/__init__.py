"""Pictures of slices, losses and latents, and the style that all figures share."""
