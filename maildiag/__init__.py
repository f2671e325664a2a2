"""maildiag: what is broken on a Postfix + Dovecot host, why, what to type, and whether it is cured."""

__version__ = "0.1.0"
