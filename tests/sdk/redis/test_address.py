"""Redis URLs: what they mean, and that no message repeats one."""

import dataclasses
from typing import Any

import pytest

from pinwarden import ConfigError, PinClient
from pinwarden.arguments import open_cache
from pinwarden.cache_redis import RedisAddress, parse_address
from pinwarden.cache_redis.address import Login

ONE = (("cache", 6379),)
URLS: dict[str, tuple[RedisAddress, str]] = {
    "redis://cache": (RedisAddress("direct", False, ONE), "redis://cache:6379/0"),
    "redis://cache/": (RedisAddress("direct", False, ONE), "redis://cache:6379/0"),
    "redis://cache:7000/3": (RedisAddress("direct", False, (("cache", 7000),), database=3), "redis://cache:7000/3"),
    "redis://[::1]:7000": (RedisAddress("direct", False, (("::1", 7000),)), "redis://[::1]:7000/0"),
    "redis://:pa%40ss%2Fw@cache": (
        RedisAddress("direct", False, ONE, login=Login(None, "pa@ss/w")),
        "redis://cache:6379/0",
    ),
    "rediss://user:pa:ss@cache/1?ssl_ca_certs=/etc/ca.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem": (
        RedisAddress(
            "direct",
            True,
            ONE,
            database=1,
            login=Login("user", "pa:ss"),
            ca_file="/etc/ca.pem",
            certificate_file="c.pem",
            key_file="k.pem",
        ),
        "rediss://cache:6379/1",
    ),
    "redis+sentinel://a,b:7/service/2": (
        RedisAddress("sentinel", False, (("a", 26379), ("b", 7)), service="service", database=2),
        "redis+sentinel://a:26379,b:7/service/2",
    ),
    "rediss+sentinel://watched:hunter2@a/main?sentinel_username=watcher&sentinel_password=hunter3": (
        RedisAddress(
            "sentinel",
            True,
            (("a", 26379),),
            service="main",
            login=Login("watched", "hunter2"),
            sentinel_login=Login("watcher", "hunter3"),
        ),
        "rediss+sentinel://a:26379/main/0",
    ),
    "redis+cluster://a,b:7": (
        RedisAddress("cluster", False, (("a", 6379), ("b", 7))),
        "redis+cluster://a:6379,b:7",
    ),
    "rediss+cluster://a/0": (RedisAddress("cluster", True, (("a", 6379),)), "rediss+cluster://a:6379"),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_has_one_meaning_and_is_shown_without_its_secrets(url: str) -> None:
    address, shown = URLS[url]
    assert parse_address(url) == address
    assert address.shown == shown
    secrets = [address.login.username, address.login.password, address.sentinel_login.password]
    assert [secret for secret in secrets if secret and secret in repr(address)] == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://:0", "a host or a port in it is none"),
        ("redis:///0", "a host or a port in it is none"),
        ("redis://a,b", "it names several hosts"),
        ("redis://a:0", "a host or a port in it is none"),
        ("redis://a:65536", "a host or a port in it is none"),
        ("redis://a:x", "a host or a port in it is none"),
        ("redis://a/b", "its database is not a number"),
        ("redis://a/0/1", "its database is not a number"),
        ("redis://secret@a", "what stands before @ is not USER:PASSWORD or :PASSWORD"),
        ("redis://secret:@a", "what stands before @ is not USER:PASSWORD or :PASSWORD"),
        ("redis://u:sec#ret@a", "it does not have one of the forms"),
        ("redis://u:sec/ret@a", "its database is not a number"),
        ("redis://u:secret@a\n", "it does not have one of the forms"),
        ("redis+unix://a", "it does not have one of the forms"),
        ("redis+sentinel://a", "it names no service of the sentinels"),
        ("redis+sentinel://a//0", "it names no service of the sentinels"),
        ("redis+sentinel://" + ",".join("a" * 17) + "/s", "it names more than 16 hosts"),
        ("redis+cluster://a/1", "a cluster has no database but 0"),
        ("redis://a?x", "what follows ? cannot be read"),
        ("rediss://a?ssl_cert_reqs=none", "it has the option 'ssl_cert_reqs'"),
        ("rediss://a?Secret0=1", "it has the option something"),
        ("rediss://a?ssl_ca_certs=", "its option ssl_ca_certs is empty"),
        ("redis://a?ssl_ca_certs=x", "it has the option 'ssl_ca_certs': expected no option"),
        ("redis://a?sentinel_password=secret", "it has the option 'sentinel_password'"),
        ("rediss://a?ssl_ca_certs=x&ssl_ca_certs=y", "it has an option twice"),
    ],
)
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_cache(url, authority="a-12345678", name="app")
    assert f"the Redis URL of the cache is not usable: {why}" in str(refused.value)
    assert "secret" not in str(refused.value).lower()
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@127.0.0.1:1", "redis+sentinel://127.0.0.1:1/pins?sentinel_password=hunter2"]
)
def test_a_password_in_the_environment_is_refused_and_its_file_is_named(
    url: str, monkeypatch: Any, authority: Any
) -> None:
    monkeypatch.setenv("PINWARDEN_CACHE", url)
    for cache in (None, url):
        with pytest.raises(ConfigError, match="its path into PINWARDEN_CACHE_FILE") as refused:
            PinClient("http://localhost:1", pinset="app", root=authority.root_json, cache=cache)
        assert "hunter2" not in str(refused.value)


def test_the_file_of_the_url_may_hold_a_password(monkeypatch: Any, authority: Any, tmp_path: Any) -> None:
    (tmp_path / "url").write_text("redis://:hunter2@127.0.0.1:1/4\n")
    (tmp_path / "root").write_bytes(authority.root_json)
    environ = {
        "PINWARDEN_URL": "http://localhost:1",
        "PINWARDEN_PINSET": "app",
        "PINWARDEN_ROOT": str(tmp_path / "root"),
        "PINWARDEN_CACHE_FILE": str(tmp_path / "url"),
    }
    client = PinClient.from_env(environ)
    assert client.status().cache == f"redis://127.0.0.1:1/4 pinwarden:1:{{{authority.authority}/app}}"


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_certificate_file_that_cannot_be_used_is_told_at_construction(option: str, tmp_path: Any) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigError, match="a certificate or key file of the Redis URL cannot be used"):
            open_cache(f"rediss://a?{option}={tmp_path / name}", authority="a-12345678", name="app")


def test_an_address_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_address("redis://a").database = 1  # type: ignore[misc]
