"""What `weft db seed` puts into a new installation, one module for each system."""
