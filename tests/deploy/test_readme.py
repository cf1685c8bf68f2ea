"""deploy/README.md against the files that it is about."""

import os
import re
import shlex
import tomllib
from pathlib import Path

import yaml

from pinwarden_server.cli import server

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
README = (DEPLOY / "README.md").read_text()
NGINX, COMPOSE = (DEPLOY / "nginx/pinwarden.conf").read_text(), (DEPLOY / "compose.yaml").read_text()
UNIT = (DEPLOY / "systemd/pinwarden.service").read_text()
STEPS = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
SUFFIXES = {".py", ".conf", ".service", ".yaml", ".md"}
PAGE = (REPOSITORY / "docs/signer-process.md").read_text()
SIGNER = (("services", "signer"), ("services", "server"), ("volumes", "signer"))
COMMANDS = [shlex.split(line) for line in STEPS.splitlines() if line.strip()]


def test_every_file_here_is_in_the_table_and_every_link_leads_somewhere():
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.*") if path.suffix in SUFFIXES}
    assert set(re.findall(r"(?m)^\| `([a-z/.-]+\.[a-z]+)` \|", README)) == files - {"README.md"}
    headings = {line.lower().replace(" ", "-") for line in re.findall(r"(?m)^## (.*)$", README)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert (DEPLOY / path).exists() if path else anchor in headings, target


def test_every_step_names_files_folders_and_commands_that_exist():
    for path in re.findall(r"(?<![\w/])((?:deploy|requirements)/[\w./-]+)", STEPS):
        assert (REPOSITORY / path).exists() or path.startswith("deploy/secrets"), path
    for words in COMMANDS:
        for before, word, after in zip(words, words[1:], words[2:], strict=False):
            if before.endswith("pinwarden") and word == "server":
                assert after in server.commands, words
    placed = re.findall(r"(?:/etc/pinwarden|/etc/systemd/system|/etc/nginx/tls|/etc/nginx/conf\.d)/?[\w.]*", STEPS)
    needed = {"/etc/pinwarden/passphrase", "/etc/nginx/tls/pinwarden.crt", "/etc/nginx/tls/pinwarden.key"}
    assert needed <= set(placed)
    assert "LoadCredential=passphrase:/etc/pinwarden/passphrase" in UNIT
    assert all(path in NGINX for path in needed if "tls" in path)
    assert "/etc/pinwarden/gunicorn.conf.py" in UNIT


def test_the_steps_for_compose_fit_its_file():
    services = re.search(r"(?ms)^services:\n(.*?)^networks:", COMPOSE)[1]
    names = set(re.findall(r"(?m)^  ([a-z]+):$", services))
    composed = [words[4:] for words in COMMANDS if words[:2] == ["docker", "compose"]]
    assert [words[0] for words in composed] == ["build", "run", "run", "up", "exec", "run", "run", "run", "run", "up"]
    assert all(names & set(words) for words in composed)
    secrets = re.search(r"(?ms)^secrets:\n(.*)", COMPOSE)[1]
    made = set(re.findall(r"deploy/(secrets/[\w.]+)", STEPS))
    folders = set(re.findall(r"source: \./(secrets/\S+)", services))
    assert folders == {"secrets/signer", "secrets/journal"}
    assert {f"secrets/{name}" for name in re.findall(r"file: \./secrets/(\S+)", secrets)} | folders == made
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert "deploy/secrets/" in ignored
    for user in ('user: "10001:10001"', 'user: "101:10001"', 'user: "70:70"'):
        assert user in services
    assert {"-g 10001", "chgrp 70"} <= {part for part in ("-g 10001", "chgrp 70") if part in STEPS}


def test_the_signer_of_compose_is_confined_as_its_unit_is_and_agrees_with_its_page():
    composed = yaml.safe_load(COMPOSE)
    signer, server_, volume = (composed[kind][name] for kind, name in SIGNER)
    assert (signer["profiles"], signer["user"], signer["network_mode"]) == (["signer"], "10002:10001", "none")
    assert (signer["read_only"], signer["cap_drop"], "ports" in signer) == (True, ["ALL"], False)
    assert signer["security_opt"] == ["no-new-privileges:true"]
    settings = tomllib.loads(re.search(r"```toml\n(socket = .*?)```", PAGE, re.DOTALL)[1])
    targets = {each["target"]: each.get("read_only", False) for each in signer["volumes"] if isinstance(each, dict)}
    assert targets == {
        os.path.dirname(settings["root"]): True,
        os.path.dirname(settings["journal"]): False,
    }
    mounted = f"signer:{os.path.dirname(settings['socket'])}"
    assert mounted in signer["volumes"]
    # The server has the socket once somebody takes the comment away, and nothing else of the signer's.
    assert (mounted in COMPOSE.partition("  signer:")[0], "signer" in str(server_["volumes"])) == (True, False)
    assert volume["driver_opts"]["o"] == "size=1m,uid=10002,gid=10001,mode=0710"
    unit = (DEPLOY / "systemd/pinwarden-signer.service").read_text()
    run = re.search(r"(?m)^ExecStart=/opt/pinwarden/bin/(.*)$", unit)[1].split()
    assert signer["command"] == [word.replace("%d/", "/etc/pinwarden-signer/") for word in run]
    assert signer["healthcheck"]["test"][1:4] == ["pinwarden", "signer", "status"]


def test_the_limits_that_are_told_are_those_of_nginx():
    told = re.sub(r"\s+", " ", README)
    public, admin = NGINX.split("# The admin side")
    assert "100 requests a second on 443 (bursts of 500, 1,000 connections)" in told
    assert all(text in public for text in ("rate=100r/s", "burst=500 ", "limit_conn pinwarden_clients 1000;"))
    assert "10 a second on 8443 (bursts of 40)" in told
    assert ("zone=pinwarden_admin:4m rate=10r/s" in public, "burst=40 " in admin) == (True, True)
    assert "64 KiB on 443, 3 MiB on 8443" in told
    assert ("client_max_body_size 64k;" in public, "client_max_body_size 3m;" in admin) == (True, True)
    assert set(re.findall(r"Retry-After (\d+)", NGINX)) == set(re.findall(r"Retry-After: (\d+)", told))
    assert ("exposure below 1.5" in told, "below 0.6" in told) == (True, True)
