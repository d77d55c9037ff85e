"""What is secret in a configuration, by its name or in an address: left out of whatever is written.

`typed_secrets` has Hydra refuse a run that was given one as it stands.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from recsys.errors import UserError

LEFT_OUT = "(left out)"

# Names of ours that only say where a secret is to be found; options whose keys are words of the user's data.
_ABOUT_SECRETS = ("token_variable", "token_header")
_OWN_WORDS = ("data.kinds", "data.moods", "data.weights")

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET = re.compile(
    r"(token|auth|authorization|bearer|jwt|signature|session[^a-z]?id|"
    r"(cookie|password|passwd|passphrase|pwd|secret|credential|(api|access|private|secret)[^a-z]?key)s?)"
    r"(?![a-z])|tokens$|^key$"
)
# A login ends at the last @ before a path. A password may hold a slash itself, which nothing but a port forbids.
_LOGIN = re.compile(r"(?<=://)(?:[^/?#\s]*|[^/:@\s]*:(?!\d*(?:[/?#\s]|$))\S*)@")
_QUERY = re.compile(r"(?<=[?&#])([^=&#\s]+)=([^&#\s]+)")
_INTERPOLATION = re.compile(r"\$\{[^{}]*\}")
_FROM_ELSEWHERE = re.compile(r"\$\{[^,{}]*(,\s*(null|''|\"\")?\s*)?\}")  # with no default that would be the secret


def is_secret(name: object) -> bool:
    """Whether a value of this name is one that nobody else may see, such as `api_key` or `X-Access-Token`."""
    words = _CAMEL_CASE.sub("_", str(name)).lower()
    return words not in _ABOUT_SECRETS and _SECRET.search(words) is not None


def without_secrets(value: Any) -> Any:
    """The same plain values without what is named like a secret, and without logins and secrets in addresses."""
    if isinstance(value, Mapping):
        return {k: LEFT_OUT if is_secret(k) and _says_something(v) else without_secrets(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    return _QUERY.sub(
        lambda found: f"{found[1]}={LEFT_OUT}" if is_secret(found[1]) else found[0], _LOGIN.sub("", value)
    )


def check_secrets(config: Mapping[str, Any]) -> None:
    """Refuse a configuration with a secret as it stands, before it is written anywhere.

    Args:
        config: the whole configuration as plain values, with its interpolations as they are.

    Raises:
        UserError: for the first secret that is no interpolation, such as `${oc.env:NAME}`.
    """
    for name, value, secret in _leaves(config):
        if secret and not _FROM_ELSEWHERE.search(str(value)):
            raise UserError(
                f"{name} is a secret, which the run's folder would keep: put it into an environment variable and "
                f"give '${{oc.env:VARIABLE}}' here."
            )
        if isinstance(value, str) and _holds_password(_INTERPOLATION.sub("$", value)):
            raise UserError(
                f"{name} holds a password, which the run's folder would keep: leave it out of the address, as those of "
                "platforms and studies come from RECSYS_PLATFORM_TOKEN and RECSYS_STORAGE_PASSWORD."
            )


def _leaves(value: Any, name: str = "", secret: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Name, value and whether its name or one above it is a secret's, of each value that says something."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{name}.{key}".lstrip(".")
            if below not in _OWN_WORDS:
                yield from _leaves(inner, below, secret or is_secret(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, name, secret)
    elif _says_something(value):
        yield name, value, secret


def _says_something(value: Any) -> bool:
    return bool(value) and not isinstance(value, bool)


def _holds_password(text: str) -> bool:
    """Whether an address, with a dollar for each interpolation, holds a password or, on the web, the name of a user.

    Such a name may itself be a token, other than that of a database's user.
    """
    login = _LOGIN.search(text)
    user, _, password = login[0].rstrip("@").partition(":") if login else ("", "", "")
    secrets = [password or (user if text.startswith("http") else "")]
    secrets += [found[2] for found in _QUERY.finditer(text) if is_secret(found[1])]
    return any(secret.strip("$") for secret in secrets)
