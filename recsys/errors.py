"""The one exception for anything a user of the framework can mend."""


class UserError(Exception):
    """Bad input: the message is one sentence that says what is wrong, where, and what to do.

    The two doors (`train.py` and the `recsys` command) print it without a traceback and exit with code 2.
    """
