"""What every training loop needs: states that are kept, and the precision of products."""
