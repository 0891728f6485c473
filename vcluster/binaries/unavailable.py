"""Why one way to obtain programs did not work; the next way is then tried."""


class Unavailable(Exception):
    """The reason, in one sentence."""
