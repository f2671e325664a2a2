"""Linters: configuration text in, problems with their lines and repairs out; nothing here asks the host anything."""
