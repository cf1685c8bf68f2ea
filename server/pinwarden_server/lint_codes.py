"""
Every code of lint as one table: whether it blocks, whether it may be forced, what triggers it, and the way out.

It may import nothing but the standard library. The rules decide by themselves; tests trigger every row over HTTP, and
docs/lint.md shows this table as it is here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """
    One row; a code has several when it is found in several ways.

    Attributes:
        forceable: None for a warning, which has nothing to be forced.
        trigger: what the draft says, for people. needs: what has to be shown, or empty.
    """

    code: str
    blocks: bool
    forceable: bool | None
    trigger: str
    way_out: str
    needs: str = ""


def _blocks(code: str, trigger: str, way_out: str, needs: str = "") -> Code:
    return Code(code, True, True, trigger, way_out, needs)


def _refuses(code: str, trigger: str, way_out: str, needs: str = "") -> Code:
    return Code(code, True, False, trigger, way_out, needs)


def _warns(code: str, trigger: str, way_out: str, needs: str = "") -> Code:
    return Code(code, False, None, trigger, way_out, needs)


CODES: tuple[Code, ...] = (
    _refuses("PIN001", "a host without a backup pin", "make a second key, keep it elsewhere, give its pin"),
    _blocks("PIN002", "no pin of the host is in its chain", "give the pin of a key in the chain", "`certificates`"),
    _blocks(
        "PIN003", "every backup of the host is in its chain", "give the pin of a key kept elsewhere", "`certificates`"
    ),
    _warns("PIN004", "a backup that is new, and nobody has proved that its key exists", "give its `proof`"),
    _refuses("PIN004", "a proof that the backup's key did not sign", "make the request with that key", "`proof`"),
    _warns("PIN005", "a pinned CA of a chain from a public CA", "pin your own keys", "`certificates`"),
    _refuses("PIN006", "a life longer than the root allows", "ask for less, or hold a ceremony"),
    _warns("PIN006", "a life under 1 day or over 90", "choose one between"),
    _warns("PIN007", "`*.` without a certificate that is for all of them", "name the hosts, or show it"),
    _blocks("PIN008", "the pin server itself (`own_hosts`), or the host of `report_to`", "leave that host out"),
    _blocks("PIN009", "holders of an unexpired version accept no key of the draft", "keep a key that they have"),
    _blocks("PIN009", "each of them accepts one, and no one key suits all", "keep a key that all have"),
    _warns("PIN009", "they accept none of the keys in service, only others of the draft", "switch when it says"),
    _warns("PIN009", "they were cut off by a version before", "wait, or bring back a key that they have"),
    _warns("PIN009", "a host is not pinned any more, and holders still enforce its pins", "keep its keys until then"),
    _warns("PIN010", "`**.` covers names at any depth", "name the hosts, or use `*.`"),
    _warns(
        "PIN011",
        "a weak key: RSA under 2048 bits, a curve under 256, DSA",
        "make a new key",
        "`certificates` or `proof`",
    ),
    _blocks("PIN014", "a placeholder for a pin, or the hash of nothing", "give a real one: `pinwarden pin HOST`"),
    _blocks("PIN015", "a pin twice in one list of a host", "name it once"),
    _refuses("PIN015", "a backup that is in service too", "give another key as the backup"),
    _blocks("PIN016", "the hash of a certificate for a pin", "give the hash of its key", "`certificates`"),
    _warns("PIN017", "a single backup", "keep two, in different custody"),
)
# Codes that are taken and found by nothing here, with the reason.
NOT_YET = {
    "PIN012": "a baked export without a date of retirement: no exports are kept here yet",
    "PIN013": "a target of an export that cannot express the policy: no exports are made here yet",
}


def codes_table() -> str:
    """Return the table in Markdown."""
    rows = [["code", "finding", "blocks", "may be forced", "looks at", "way out"], ["---"] * 6]
    for each in CODES:
        forceable = {None: "", True: "yes", False: "no"}[each.forceable]
        blocks = "yes" if each.blocks else "no"
        rows.append([each.code, each.trigger, blocks, forceable, each.needs or "the draft", each.way_out])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
