"""What is secret by its name or in an address is left out of all that is written, and refused as it stands."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir

import train
from recsys.errors import UserError
from recsys.secret_values import LEFT_OUT, check_secrets, is_secret, without_secrets
from recsys.typed_secrets import check_composed
from tests.conftest import ROOT

SECRET = (
    *("token", "access_token", "access-token", "accessToken", "X-Access-Token", "token_2", "password", "passwd", "pwd"),
    *("sslpassword", "secret", "client_secret", "credentials", "api_key", "apikey", "apiKey", "X-API-Key", "api keys"),
    *("access_key", "aws_secret_access_key", "accessKeyId", "private_key", "WANDB_API_KEY", "auth", "Authorization"),
    *("key", "secretkey", "tokens", "jwt", "bearer", "cookie", "signature", "session_id"),
)
HARMLESS = (
    *("token_variable", "token_header", "tokens_per_batch", "tokenizer", "author", "keys", "monitor"),
    *("secretary", "passfile", "path"),
)
# An address, and what is left of it.
ADDRESSES = {
    "https://token@host/a@b": "https://host/a@b",
    "https://me:secret@host:8080/a": "https://host:8080/a",
    "postgresql://user:se/cret@h/db": "postgresql://h/db",
    "postgresql://me:p%2Fss@w@host:5432/studies": "postgresql://host:5432/studies",
    "see https://me:secret@host/x and https://host/y": "see https://host/x and https://host/y",
    "mysql+pymysql://u@h/db?charset=utf8&passwd=secret": f"mysql+pymysql://h/db?charset=utf8&passwd={LEFT_OUT}",
    "https://host/a?api_key=secret#token=secret": f"https://host/a?api_key={LEFT_OUT}#token={LEFT_OUT}",
}
KEPT = ("https://host/a@b", "https://host:8080/a@b", "http://host:8080?to=a@b", "file:///a@b", "a@b", "me:pass@host")


def test_names() -> None:
    assert [name for name in SECRET if not is_secret(name)] == []
    assert [name for name in HARMLESS if is_secret(name)] == []


@pytest.mark.parametrize("address", [*ADDRESSES, *KEPT])
def test_addresses(address: str) -> None:
    assert without_secrets([address]) == [ADDRESSES.get(address, address)]


def test_without_secrets_keeps_all_else() -> None:
    given = {"a": ({"api_key": "s", "secrets": ["s"], "n": 5},), "token": None, "has_token": True, "password": ""}
    kept = {"a": [{"api_key": LEFT_OUT, "secrets": LEFT_OUT, "n": 5}], "token": None, "has_token": True, "password": ""}
    assert without_secrets(given) == kept


REFUSED: dict[str, dict[str, Any]] = {
    "data.api.params.api_key": {"data": {"api": {"params": {"api_key": "hunter2"}}}},
    "a.password": {"a": {"password": 12345}},
    "a.api_key": {"a": {"api_key": "${oc.env:KEY,hunter2}"}},
    "a.credentials.user": {"a": {"credentials": {"user": "hunter2"}}},
    "a.tokens.token": {"a": {"tokens": [{"token": "hunter2"}]}},
    "sweeps.storage": {"sweeps": {"storage": "postgresql://me:hunter2@host/db"}},
    "a.query": {"a": {"query": "https://host/?b=c&api_key=hunter2"}},
    "a.web": {"a": {"web": "https://hunter2@host"}},
    "a.half": {"a": {"half": "https://${name}:hunter2@host"}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_secret_as_it_stands_is_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        check_secrets(REFUSED[name])
    said = str(error.value)
    assert said.startswith(f"{name} ")
    assert "environment variable" in said or "RECSYS_STORAGE_PASSWORD" in said
    assert "\n" not in said
    assert not any(secret in said for secret in ("hunter2", "12345"))


def test_what_is_no_secret_or_comes_from_the_environment_passes() -> None:
    optional = {"token": "${oc.env:KEY,null}", "api_key": "${oc.env:KEY,${oc.env:OTHER}}", "auth": "${oc.env:KEY,''}"}
    from_environment = {
        "optional": optional,
        "api_key": "${oc.env:KEY}",
        "auth": "Bearer ${oc.env:KEY}",
        "url": "https://u:${oc.env:KEY}@h",
    }
    own_words = {"weights": {"token": 2}, "kinds": {"users.token": "category"}, "moods": {"secret": ["secretive"]}}
    check_secrets({"a": from_environment, "data": own_words, "token": None, "password": "", "auth": False})
    check_secrets({"sweeps": {"storage": "postgresql+psycopg://me@host/db"}})


@pytest.mark.parametrize("given", [[], ["data=platform", "logger=wandb"], ["sweeps=tune"], ["sweeps=ablation"]])
def test_the_shipped_options_hold_no_secret(given: list[str]) -> None:
    train.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check_composed(compose("train", given, return_hydra_config=True))


def test_environment_variables_that_hydra_sets_are_checked() -> None:
    train.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["+hydra.job.env_set.WANDB_API_KEY=hunter2"], return_hydra_config=True)
    with pytest.raises(UserError, match=r"hydra\.job\.env_set\.WANDB_API_KEY"):
        check_composed(config)
