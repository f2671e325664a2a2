"""Dovecot's configuration language: files into statements, statements into settings with file and line."""
