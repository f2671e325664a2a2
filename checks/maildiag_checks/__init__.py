"""The built-in checks, one module per workflow step or topic."""
