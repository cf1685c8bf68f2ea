"""docs/spec.md against the code that cites it, against the vectors, and against its own example."""

import ast
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from pinwarden import bundle, documents, envelope, strict_json, trust
from pinwarden.documents import Timestamp
from pinwarden.envelope import TIMESTAMP_TYPE, Envelope, is_signature, keyid_of, pae

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
SPEC = (REPOSITORY / "docs" / "spec.md").read_text("utf-8")
STEPS = re.findall(r"^### ([PVCESH][0-9]+) ", SPEC, re.MULTILINE)
SECTIONS = re.findall(r"^## ([0-9]+)\. ", SPEC, re.MULTILINE)
SOURCES = [path for room in ("client", "keys", "server") for path in sorted((REPOSITORY / room).rglob("*.py"))]

# RFC 8032, section 7.1, test 1.
PUBLISHED_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table after *heading*, without its head."""
    after = SPEC[SPEC.index(heading) + len(heading) :]
    found = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.group().splitlines()[2:]]


def cited(text: str) -> set[str]:
    """Return the steps that one file cites: in comments, in docstrings and in errors; ranges count with both ends."""
    steps = set(re.findall(r"step=\"([PVCESH][0-9]+)\"", text))
    for clause in re.findall(r"\b[Ss]pec,?((?:[\s#,;]|and|to|the form of|steps?|[PVCESH][0-9]+(?:'s)?\b)+)", text):
        steps |= set(re.findall(r"[PVCESH][0-9]+", clause))
    return steps


def test_every_step_that_code_cites_stands_in_the_specification() -> None:
    citations = {step: path.name for path in SOURCES for step in cited(path.read_text("utf-8"))}
    assert len(citations) > 25
    assert {step: name for step, name in citations.items() if step not in STEPS} == {}


def test_every_section_that_code_cites_stands_in_the_specification() -> None:
    sections = {number for path in SOURCES for number in re.findall(r"spec section ([0-9]+)", path.read_text("utf-8"))}
    assert set("234") <= sections
    assert sections <= set(SECTIONS)


def test_steps_and_sections_are_numbered_without_gaps() -> None:
    counts = {"P": 8, "V": 10, "C": 6, "E": 11, "S": 8, "H": 4}
    assert [f"{letter}{number}" for letter, last in counts.items() for number in range(1, last + 1)] == STEPS
    assert [str(number) for number in range(1, 13)] == SECTIONS


def vectors_of() -> set[str]:
    """Return the steps that refuse in at least one vector."""
    refused = re.compile(r'"result": "refuse"(?:, "error": "[A-Za-z]+")?, "step": "([PVCESH][0-9]+)"')
    return {step for path in HERE.glob("*.json") for step in refused.findall(path.read_text("ascii"))}


def shown_by_vectors() -> set[str]:
    """Return the steps that vectors refuse by or are about."""
    about = {
        case["step"] for path in HERE.glob("*.json") for case in json.loads(path.read_text())["cases"] if "step" in case
    }
    return about | vectors_of()


def test_every_step_of_parsing_and_verification_has_a_vector_or_a_reason() -> None:
    excused = {row[0] for row in table("**Steps that no vector can show**")}
    judged = {step for step in STEPS if step[0] in "PV"}
    assert judged == (judged & shown_by_vectors()) | excused
    assert {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8"} <= vectors_of()
    assert set() == excused & vectors_of()


def raised() -> Iterator[tuple[str, str]]:
    """Yield class and step of every error that the client's code raises with a literal step."""
    for path in (REPOSITORY / "client/pinwarden").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            for keyword in node.keywords:
                if keyword.arg == "step" and node.func.id.endswith("Error"):
                    yield from ((node.func.id, step) for step in literals(keyword.value))


def literals(value: ast.expr) -> list[str]:
    """Return the strings that an expression may be: a literal, or one of two."""
    if isinstance(value, ast.IfExp):
        return [*literals(value.body), *literals(value.orelse)]
    return [value.value] if isinstance(value, ast.Constant) else []


def test_the_table_of_refusals_lists_every_error_with_its_steps() -> None:
    rows = {row[0].strip("`"): row[2] for row in table("## 6. Verification")}
    pairs = set(raised())
    assert len(pairs) > 25
    missing = []
    for error, step in sorted(pairs):
        listed = set(re.findall(r"[PVCESH][0-9]+", rows.get(error, "")))
        if "P1 to P5" in rows.get(error, ""):
            listed |= {f"P{number}" for number in range(1, 6)}
        if step not in listed:
            missing.append((error, step))
    assert missing == []


def test_the_limits_are_those_of_the_code() -> None:
    rows = {row[0]: row[1] for row in table("**Limits**")}
    payloads = [envelope.PAYLOAD_LIMITS[kind] // 1024 for kind in (envelope.ROOT_TYPE, TIMESTAMP_TYPE)]
    assert f"{payloads[0]} KiB, {payloads[1]} KiB, 1 MiB" == rows["payload of a root, timestamp, pin set"]
    assert envelope.PAYLOAD_LIMITS[envelope.PINSET_TYPE] == 1024 * 1024
    assert f"{bundle.MAX_BUNDLE_BYTES // 1024**2} MiB, {bundle.MAX_BUNDLE_ROOTS} roots" == rows["bundle"]
    assert f"(root: {envelope.ENVELOPE_LIMITS[envelope.ROOT_TYPE]:,} bytes)" in rows["envelope that travels alone"]
    assert str(envelope.MAX_SIGNATURES) == rows["signatures in an envelope"]
    assert f"{documents.MAX_HOSTS:,}, {documents.MAX_DENIED}" == rows["hosts, denied keys"]
    assert str(documents.MAX_PINS_PER_HOST) == rows["pins and backups of one host, together, repetitions counted"]
    assert f"{documents.MAX_REPORT_URL:,} characters" == rows["`report_to`"]
    assert str(strict_json.MAX_DEPTH) == rows["arrays and objects inside each other"]
    structure = "`[`, `{` and `,` in one JSON text, those inside strings too; each counts twice in a text beyond ASCII"
    assert rows[structure].startswith(f"{strict_json.MAX_STRUCTURE:,}")
    assert f"{trust.MAX_CLOCK_SKEW.total_seconds() / 3600:.0f} hours after" in SPEC


def example(kind: str) -> list[str]:
    """Return the fenced blocks of the worked example."""
    return re.findall(rf"```{kind}\n(.*?)```", SPEC[SPEC.index("## 10. Worked example") :], re.DOTALL)


def test_the_example_key_has_the_keyid_and_the_pin_that_the_text_gives() -> None:
    key, pin, _ = example("text")
    given = dict(line.split() for line in key.splitlines())
    public, _secret = crypto_sign_seed_keypair(PUBLISHED_SECRET)
    spki = bytes.fromhex("302a300506032b6570032100") + public
    assert {"public": public.hex(), "spki": spki.hex(), "keyid": sha256(spki).hexdigest()} == given
    assert keyid_of(public) == given["keyid"]
    assert b64encode(sha256(spki).digest()).decode() == pin.strip()


def test_the_example_envelope_is_good_and_its_signed_bytes_are_those_printed() -> None:
    framed, payload = example("json")
    signed = bytes.fromhex("".join(example("text")[2].split()))
    public, secret = crypto_sign_seed_keypair(PUBLISHED_SECRET)
    parsed = Envelope.parse(framed.encode(), expect=TIMESTAMP_TYPE)
    (entry,) = parsed.signatures
    assert payload.strip().encode() == parsed.payload
    assert pae(TIMESTAMP_TYPE, parsed.payload) == signed
    assert (keyid_of(public), crypto_sign(signed, secret)[:64]) == (entry.keyid, entry.sig)
    assert is_signature(entry.sig, signed, public)
    assert Timestamp.parse(parsed.payload).encode() == parsed.payload


def test_the_example_share_is_drawn_as_the_text_says() -> None:
    text = SPEC[SPEC.index("**A share (E7):**") :]
    authority, name, host, installation = re.findall(r"`([^`]+)`", text)[:4]
    drawn = sha256(f"{authority}\n{name}\n{host}\n{installation}".encode()).digest()[:8]
    assert f"draw {int.from_bytes(drawn, 'big') % 100}:" in text.replace("\n", " ")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", SPEC))))
def test_links_lead_somewhere(target: str) -> None:
    path, _, anchor = target.partition("#")
    headings = {
        heading.lower().replace(".", "").replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", SPEC, re.MULTILINE)
    }
    assert (not path or (REPOSITORY / "docs" / path).is_file()) and (not anchor or anchor in headings)


def test_the_points_of_small_order_that_the_text_names_are_those_of_the_vectors() -> None:
    listed = json.loads((HERE / "ed25519" / "small_order_encodings.json").read_text("ascii"))
    canonical = {int.from_bytes(bytes.fromhex(each), "little") % 2**255 for each in listed} - {2**255 - 19, 2**255 - 18}
    named = {int(each, 16) for each in re.findall(r"^y = (0x[0-9a-f]{64})$", SPEC, re.MULTILINE)}
    assert canonical == {0, 1, 2**255 - 20, *named}
