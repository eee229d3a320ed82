"""Step kinds for weft that read CSV."""
