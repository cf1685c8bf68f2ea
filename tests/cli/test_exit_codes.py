"""One meaning for each exit code in every group: what cannot be read or set is misuse, wherever it is said."""

from pathlib import Path
from typing import Any

import pytest

MISSING = "cannot be read: No such file or directory"
ANYTHING = "HERE/plain.json"  # a file that can be read, and holds {}
OPS = {"PINWARDEN_OPS_URL": "http://127.0.0.1:1", "PINWARDEN_OPS_TOKEN_FILE": "HERE/token"}

CASES: list[tuple[list[str], dict[str, str], int, str]] = [
    # a file that cannot be read
    (["status", "--root", "HERE/no"], {}, 2, "No such file or directory"),
    (["refresh", "--config", "HERE/no"], {}, 2, MISSING),
    (["verify", "HERE/no", "--root", "HERE/no"], {}, 2, MISSING),
    (["check", "localhost", "--chain", "HERE/no"], {}, 2, MISSING),
    (["pin", "HERE/no"], {}, 2, MISSING),
    (["install-hook", "--dry-run", "--config", "HERE/no"], {}, 2, MISSING),
    (["keys", "show", "HERE/no"], {}, 2, MISSING),
    (["keys", "new", "HERE/k", "--passphrase-file", "HERE/no"], {}, 2, MISSING),
    (["root", "show", "HERE/no"], {}, 2, MISSING),
    (["root", "verify", "HERE/no"], {}, 2, MISSING),
    (["root", "draft", "--plan", "HERE/no", "--out", "HERE/d"], {}, 2, MISSING),
    (["root", "sign", "HERE/no", "--key", "HERE/no"], {}, 2, MISSING),
    (["root", "publish", "HERE/no"], OPS, 2, MISSING),
    (["signer", "show", "--config", "HERE/no"], {}, 2, MISSING),
    (["set", "put", "app", "HERE/no", "--create"], OPS, 2, MISSING),
    (["change", "propose", "app", "HERE/no", "--create"], OPS, 2, MISSING),
    (["audit", "verify", "HERE/no", "--root", "HERE/no"], OPS, 2, MISSING),
    (["server", "--config", "HERE/no", "run"], {}, 2, MISSING),
    (["server", "init", "HERE/new", "--root", "HERE/no"], {}, 2, MISSING),
    (["server", "openapi", "--html", "HERE/no/page.html"], {}, 2, "cannot be written: No such file or directory"),
    # a setting that is missing, unknown or impossible
    (["status"], {"PINWARDEN_POLL_SECONDS": "0"}, 2, "impossible value"),
    (["status"], {"PINWARDEN_PINSTE": "app"}, 2, "unknown setting"),
    (["status", "--url", "http://u:p@127.0.0.1"], {}, 2, "without credentials, query or fragment"),
    (["status", "--url", "http://127.0.0.1#x"], {}, 2, "without credentials, query or fragment"),
    (["set", "list"], {"PINWARDEN_OPS_URK": "x"}, 2, "unknown setting"),
    (["set", "list", "--server", "http://u:p@127.0.0.1"], OPS, 2, "without credentials, query or fragment"),
    (["set", "list"], {}, 2, "url and token_file are not set"),
    (["server", "settings"], {"PINWARDEN_SERVER_WORKERS": "x"}, 2, "impossible value"),
    (["server", "settings"], {"PINWARDEN_SERVER_BOND": "x"}, 2, "unknown setting"),
    (["signer", "status", "--config", ANYTHING], {}, 2, "is not TOML"),
    (["keys", "show", "fiel:k"], {}, 2, "no signer for this kind of URI"),
    (["keys", "show", "vault:transit/k"], {}, 2, "this vault: URI cannot be used"),
    # what can be read, and is judged
    (["verify", ANYTHING, "--root", "HERE/root.json"], {}, 1, "neither a bundle nor a document"),
    (["root", "show", ANYTHING], {}, 1, "envelope of the wrong type"),
    (["root", "draft", "--plan", ANYTHING, "--out", "HERE/d"], {}, 1, "is not TOML"),
    (["status", "--root", ANYTHING], {}, 1, "the root that this application embeds is unusable"),
    (["set", "put", "app", ANYTHING, "--create"], OPS, 1, "lacks 'hosts'"),
    # nobody answers
    (["refresh", "--url", "http://127.0.0.1:1"], {}, 3, "Connection refused"),
    (["pin", "127.0.0.1:1"], {}, 3, "Connection refused"),
    (["set", "list"], OPS, 3, "http://127.0.0.1:1 cannot be asked: [Errno 111] Connection refused. Nothing was"),
    (["audit", "history", "http://127.0.0.1:1", "--pinset", "app", "--root", "HERE/root.json"], {}, 3, "refused"),
    (["keys", "show", f"unix:HERE/no.sock?key={'0' * 64}"], {}, 3, "is away: No such file or directory"),
    (["server", "renew"], {"PINWARDEN_SERVER_DATA_DIR": "HERE/new"}, 3, "the database cannot be used"),
]


@pytest.mark.parametrize(("words", "variables", "code", "told"), CASES, ids=[" ".join(row[0][:3]) for row in CASES])
def test_an_exit_code_means_the_same_in_every_group(
    command: Any, tmp_path: Path, words: list[str], variables: dict[str, str], code: int, told: str
) -> None:
    (tmp_path / "plain.json").write_text("{}")
    (tmp_path / "plain.json").chmod(0o600)
    (tmp_path / "token").write_text("pw_0123456789abcdef_x\n")
    (tmp_path / "token").chmod(0o600)

    def here(text: str) -> str:
        return text.replace("HERE", str(tmp_path))

    before = {path.name for path in tmp_path.iterdir()}
    done = command(*map(here, words), **{name: here(value) for name, value in variables.items()})
    assert (done.exit_code, done.stdout, told in done.stderr) == (code, "", True), done.output
    told_lines = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert set(told_lines) <= {"error", "hint", "note", "warning"}, done.stderr
    assert {path.name for path in tmp_path.iterdir()} - before <= {"cache", "new"}
