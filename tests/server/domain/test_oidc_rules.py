"""The setting ``oidc``: what a rule must say, and what it lets in."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinwarden.errors import ConfigError
from pinwarden_server.oidc_rules import OidcRule, oidc_rules
from pinwarden_server.settings import load_settings, shown
from tests.docs.pages import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "rights.md"
RULE: dict[str, Any] = {
    "issuer": "https://issuer.example",
    "audience": "pins",
    "claims": {"repository": "example/app"},
    "role": "editor",
    "names": ["app"],
    "owner": "ci:app",
}


def test_a_rule_is_the_same_in_a_file_and_in_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(blocks(PAGE, "toml")[0])
    read = load_settings({}, config=file).oidc
    assert [(rule.owner, rule.role, rule.names) for rule in read] == [
        ("ci:example/payments", "editor", ("payments",)),
        ("ci:example/shop", "editor", ("shop*",)),
    ]
    spelt = shown(load_settings({}, config=file))["oidc"]
    assert load_settings({"PINWARDEN_SERVER_OIDC": json.dumps(spelt)}).oidc == read
    assert load_settings({}).oidc == ()


IMPOSSIBLE: dict[str, Any] = {
    "plain http": {"issuer": "http://issuer.example"},
    "an issuer with credentials": {"issuer": "https://a:b@issuer.example"},
    "an issuer with a query": {"issuer": "https://issuer.example?x"},
    "no audience": {"audience": ""},
    "no claims": {"claims": {}},
    "claims that everybody has": {"claims": {"sub": "*", "ref": "**"}},
    "an empty claim": {"claims": {"sub": ""}},
    "a claim that is no text": {"claims": {"sub": 7}},
    "another role": {"role": "king"},
    "no names": {"names": []},
    "an impossible name": {"names": ["A b"]},
    "an impossible owner": {"owner": "a b"},
    "an unknown member": {"claim": {"sub": "x"}},
}


@pytest.mark.parametrize("wrong", IMPOSSIBLE)
def test_a_rule_that_lets_in_nobody_or_everybody_is_refused_at_the_start(wrong: str) -> None:
    assert len(oidc_rules([RULE])) == 1
    for value in ([RULE | IMPOSSIBLE[wrong]], json.dumps([RULE | IMPOSSIBLE[wrong]])):
        with pytest.raises(ValueError, match="rule"):
            oidc_rules(value)
    with pytest.raises(ConfigError, match="setting oidc"):
        load_settings({"PINWARDEN_SERVER_OIDC": json.dumps([RULE | IMPOSSIBLE[wrong]])})


GITHUB, GITLAB = "https://token.actions.githubusercontent.com", "https://gitlab.com"
# What whoever signs up there can have in a token too, and what only the named owner can.
STRANGERS: list[tuple[str, dict[str, str]]] = [
    (GITHUB, {"ref": "refs/heads/main"}),
    (GITHUB, {"ref": "refs/heads/main", "environment": "production", "repository_visibility": "private"}),
    (GITHUB, {"repository": "*/payments"}),
    (GITHUB, {"repository": "example*"}),
    (GITHUB, {"repository": "example"}),
    (GITHUB, {"repository_owner": "example*"}),
    (GITHUB, {"repository_owner_id": "12*"}),
    (GITHUB, {"sub": "repo:*:ref:refs/heads/main"}),
    (GITHUB, {"sub": "*:ref:refs/heads/main"}),
    (GITHUB, {"sub": "repo:example*"}),
    (f"{GITHUB}/", {"ref": "refs/heads/main"}),
    (GITLAB, {"ref": "main", "ref_protected": "true"}),
    (GITLAB, {"project_path": "example*"}),
    (GITLAB, {"namespace_path": "example*"}),
    (GITLAB, {"sub": "project_path:*/shop:ref_type:branch:ref:main"}),
]
OWNERS: list[tuple[str, dict[str, str]]] = [
    (GITHUB, {"repository": "example/payments"}),
    (GITHUB, {"repository": "example/*", "ref": "refs/heads/main"}),
    (GITHUB, {"repository_id": "123"}),
    (GITHUB, {"repository_owner": "example"}),
    (GITHUB, {"repository_owner_id": "12"}),
    (GITHUB, {"sub": "repo:example/payments:environment:production"}),
    (GITHUB, {"sub": "repo:example/*"}),
    (GITLAB, {"project_path": "example/*"}),
    (GITLAB, {"project_id": "7", "ref": "main"}),
    (GITLAB, {"namespace_path": "example"}),
    (GITLAB, {"namespace_path": "example/*"}),
    (GITLAB, {"sub": "project_path:example/shop:ref_type:branch:ref:main"}),
    ("https://gitlab.example.com", {"ref": "main"}),
]


@pytest.mark.parametrize(("issuer", "claims"), STRANGERS)
def test_a_rule_that_strangers_of_a_public_forge_could_fit_is_refused(issuer: str, claims: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"a claim, one of sub, .* that says who it is: rule 2 lets in everybody at"):
        oidc_rules([RULE, RULE | {"issuer": issuer, "claims": claims}])


@pytest.mark.parametrize(("issuer", "claims"), OWNERS)
def test_a_rule_that_names_whose_job_it_is_stands(issuer: str, claims: dict[str, str]) -> None:
    (rule,) = oidc_rules([RULE | {"issuer": issuer, "claims": claims}])
    assert (rule.issuer, dict(rule.claims)) == (issuer, claims)


@pytest.mark.parametrize("value", ["", "x", "{}", "[7]", 7, [7], [{}], [RULE] * 65, json.dumps(RULE)])
def test_what_is_no_list_of_rules_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="rules"):
        oidc_rules(value)


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/main\n", False),
        ("refs/heads/main", "refs/heads/mainx", False),
        ("refs/heads/*", "refs/heads/", True),
        ("refs/heads/*", "refs/heads/a/b\nc", True),
        ("refs/heads/*", "refs/tags/a", False),
        ("*:ref:main", "repo:x:ref:main", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "abde", False),
        ("a.c", "abc", False),
        ("v[0-9]", "v1", False),
        ("v?", "v1", False),
        ("(a+)+*b", "(a+)+xb", True),
    ],
)
def test_only_the_star_means_more_than_itself(pattern: str, value: str, fits: bool) -> None:
    rule = OidcRule("i", "a", (("c", pattern),), "reader", ("*",), "o")
    assert rule.misfit({"c": value}) == (None if fits else "c")


def test_the_pipelines_of_the_page_are_well_formed_and_agree_with_its_rules(tmp_path: Path) -> None:
    github, gitlab = (yaml.safe_load(text) for text in blocks(PAGE, "yaml"))
    file = tmp_path / "server.toml"
    file.write_text(blocks(PAGE, "toml")[0])
    first, second = load_settings({}, config=file).oidc
    job = github["jobs"]["apply"]
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    assert (github["permissions"]["id-token"], job["environment"]) == ("write", dict(first.claims)["environment"])
    assert f"audience={first.audience}" in runs
    assert gitlab["pins"]["id_tokens"]["PINS_ID_TOKEN"]["aud"] == second.audience
    for script in (runs, "\n".join([*gitlab["pins"]["script"], *gitlab["pins"]["after_script"]])):
        wanted = ("| pinwarden login --oidc -", "pinwarden set apply", "pinwarden logout")
        assert [words for words in wanted if words not in script] == []
