"""Texts that no file in UTF-8 can hold, such as JSON has where an emoji was cut in two."""


def writable(text: str) -> str:
    """The text with U+FFFD, the sign for what cannot be read, in place of each surrogate without its other half."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
