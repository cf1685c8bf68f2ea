"""
The same few kilobytes as a target of The Update Framework, and its reference client that fetches them.

It may import ``tuf`` and ``securesystemslib``. The repository is as small as ours: Ed25519 keys, two of two for the
root as there, one for each other role, consistent snapshots, nothing delegated.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import Updater

TARGET = "pinset.json"
KEYS = {"root": 2, "timestamp": 1, "snapshot": 1, "targets": 1}
ROLES = tuple(KEYS)


def write_repository(folder: Path, content: bytes) -> bytes:
    """Write metadata and targets below *folder*; return root version 1, as an application embeds it."""
    expires = datetime.now(UTC) + timedelta(days=1)
    signers = {role: [CryptoSigner.generate_ed25519() for _ in range(KEYS[role])] for role in ROLES}
    root = Root(expires=expires, consistent_snapshot=True)
    for role, keys in signers.items():
        for key in keys:
            root.add_key(key.public_key, role)
        root.roles[role].threshold = len(keys)
    targets = Targets(expires=expires)
    targets.targets[TARGET] = TargetFile.from_data(TARGET, content, ["sha256"])
    snapshot = Snapshot(expires=expires, meta={"targets.json": MetaFile(1)})
    timestamp = Timestamp(expires=expires, snapshot_meta=MetaFile(1))
    written = {}
    for role, document in zip(ROLES, (root, timestamp, snapshot, targets), strict=True):
        signed = Metadata(document)
        for key in signers[role]:
            signed.sign(key, append=True)
        name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
        written[role] = signed.to_bytes(JSONSerializer(compact=True))
        _write(folder / "metadata" / name, written[role])
    _write(folder / "targets" / f"{sha256(content).hexdigest()}.{TARGET}", content)
    return written["root"]


def cold_start(url: str, root: bytes, base: str | None) -> bytes:
    """Return the target, fetched into a fresh folder inside *base* by a client that knows nothing but *root*."""
    with tempfile.TemporaryDirectory(dir=base) as folder:
        updater = Updater(
            metadata_dir=folder,
            metadata_base_url=f"{url}/metadata/",
            target_dir=folder,
            target_base_url=f"{url}/targets/",
            bootstrap=root,
        )
        updater.refresh()
        target = updater.get_targetinfo(TARGET)
        assert target is not None
        return Path(updater.download_target(target)).read_bytes()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
