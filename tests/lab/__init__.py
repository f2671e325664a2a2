"""Real mail servers to break: see README.md."""
