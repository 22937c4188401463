"""What the tools raise."""


class OfficeError(Exception):
    """A tool could not do what it was asked; the text says what would do."""
