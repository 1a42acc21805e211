"""A clock that a test sets."""


class Clock:
    """Unix seconds."""

    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def __call__(self):
        return self.now
