"""The one kind of error of this package."""


class RunError(ValueError):
    """A file that cannot be read as a run; its text is one sentence that says which, where, and what was expected."""
