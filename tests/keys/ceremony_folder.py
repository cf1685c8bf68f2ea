"""One folder with everybody's files, as on the desk of a ceremony."""

import json
from pathlib import Path

from click.testing import CliRunner

from pinwarden.strict_json import encode_base64
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.cli import root
from pinwarden_keys.passphrase import write_passphrase_file

PLAN = """
label = "acme"
[keys]
{keys}
[root]
keys = {root}
threshold = 2
[timestamp]
keys = ["server"]
threshold = 1
epoch = 1
max_lifetime_seconds = 604800
[[pinset]]
names = ["payments-*"]
keys = ["release"]
threshold = 1
epoch = 1
max_lifetime_seconds = 7776000
"""


class Ceremony:
    """One folder with everybody's key and one passphrase file."""

    def __init__(self, folder, people):
        self.folder, self.people = folder, people
        write_passphrase_file(folder / "pass", people.passphrase)

    def run(self, *arguments, typed=None):
        return CliRunner().invoke(root, [str(each) for each in arguments], input=typed)

    def plan(self, *holders, text=PLAN):
        everyone = dict.fromkeys([*holders, "server", "release"])
        lines = [f'{name} = "{encode_base64(self.people.signer(name).public)}"' for name in everyone]
        Path("plan.toml").write_text(text.format(keys="\n".join(lines), root=json.dumps(holders)))
        return "plan.toml"

    def sign(self, draft, name, *options, typed):
        if not Path(f"{name}.key").exists():
            self.people.key_file(self.folder, name)
        named = ["--key", f"{name}.key", "--passphrase-file", "pass", "--out", f"{name}.sig"]
        version = int(draft.split(".")[1])
        if version > 1 and "--previous" not in options:
            named += ["--previous", f"root.{version - 1}.json"]
        return self.run("sign", draft, *named, *options, typed=typed)

    def found(self):
        assert self.run("draft", "--plan", self.plan("alice", "bob", "carol")).exit_code == 0
        for name in ("alice", "bob"):
            assert self.sign("root.1.draft", name, typed="1\n").exit_code == 0
        assert self.run("assemble", "root.1.draft", "alice.sig", "bob.sig").exit_code == 0
        for name in ("alice", "bob"):
            Path(f"{name}.sig").unlink()
        return Path("root.1.json").read_bytes()

    def names(self):
        return {path.name for path in self.folder.iterdir()}

    def next(self, *holders, signers, text=PLAN):
        """Make and sign root 2 from root 1, for *holders*; the name of its draft stays root.2.draft."""
        plan = self.plan(*holders, text=text)
        assert self.run("draft", "--plan", plan, "--previous", "root.1.json").exit_code == 0
        for name in signers:
            assert self.sign("root.2.draft", name, typed="2\n").exit_code == 0

    def contents(self):
        """Return every file with its bytes, to be compared after a refusal."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def draft(self, name="root.1.draft"):
        """Return the draft in the file *name*."""
        return RootDraft.parse(Path(name).read_bytes())
