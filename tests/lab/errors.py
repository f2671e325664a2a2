"""What the lab raises."""


class LabError(Exception):
    """The lab could not do what was asked; the text is meant to be read by the person who asked."""
