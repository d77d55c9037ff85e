"""From a log of user-content events to a tuned, explained, exported and served graph recommender."""

__version__ = "0.1.0"
