"""What a stretch of text is, and how each kind comes apart. One file a kind."""
