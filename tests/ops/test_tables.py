"""Tables on terminals of every width and in pipes: nothing is cut or read as markup, and scripts see what they know."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from pinwarden.cli import printing
from pinwarden_ops import tables
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Api, Shell, Workshop

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
WIDTHS = (60, 80, 200)
LIVE, SPARE, VAULT = (Running.pin(word) for word in ("live", "spare", "vault"))
RUN = "from pinwarden.cli import main; main()"
REASON = "[red]x[/red] [link=http://e.example]the yearly rotation[/link] :warning: of all keys that the shop has in use"
WIDE = "鍵を交換する" * 9


@dataclass
class Seen:
    """What came of a command: its code, what the terminal showed, and what stderr got."""

    code: int
    shown: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """What the terminal showed, without colours."""
        return ESCAPE.sub("", self.shown).splitlines()


def look(shell: "Shell", columns: int, *words: str, code: str = RUN, all_of_it: bool = False, **variables: str) -> Seen:
    """Run ``pinwarden`` with stdout, or *all_of_it*, on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environ |= {"TERM": "xterm-256color", **shell.variables(), **variables}
    command = [sys.executable, "-P", "-c", code, *words]
    stderr = theirs if all_of_it else subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=stderr, env=environ) as process:
        os.close(theirs)
        shown = b"".join(_read(ours))
        os.close(ours)
        errors = process.stderr.read() if process.stderr else b""
    return Seen(process.returncode, shown.decode().replace("\r\n", "\n"), errors.decode())


def _read(descriptor: int) -> Iterator[bytes]:
    try:
        while piece := os.read(descriptor, 4096):
            yield piece
    except OSError:  # how Linux says that the other end is closed
        return


def pipe(shell: "Shell", *words: str, code: str = RUN) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, **shell.variables()}
    return subprocess.run([sys.executable, "-P", "-c", code, *words], env=environ, capture_output=True, text=True)


@pytest.fixture(scope="module")
def published(server: Running) -> str:
    """Return the name of a pin set with two versions."""
    first = server.ask("PUT", "/admin/v1/pinsets/wide", body=Running.draft("live", "spare"), If_None_Match="*")
    assert first.status == 201, first.data
    body = Running.draft("live", "spare", reason=REASON)
    assert server.ask("PUT", "/admin/v1/pinsets/wide", body=body, If_Match='"1.1"').status == 200
    return "wide"


def test_where_all_columns_fit_a_row_is_a_line(shop: "Workshop", published: str) -> None:
    seen = look(shop, 120, "set", "show", published)
    assert seen.lines[seen.lines.index("") + 1 :] == [
        f"host             mode     percent  on_expiry  role    {'key'.ljust(44)}  kind",
        f"api.example.com  enforce  100      refuse     pin     {LIVE}  leaf",
        f"api.example.com  enforce  100      refuse     backup  {SPARE}  leaf",
        f"api.example.com  enforce  100      refuse     backup  {VAULT}  leaf",
    ]
    assert f"\x1b[1mhost\x1b[0m{' ' * 13}\x1b[1mmode\x1b[0m" in seen.shown
    assert seen.shown.count("\x1b[32menforce\x1b[0m") == 3


def test_what_finds_no_room_beside_the_others_stands_whole_below_its_row(shop: "Workshop", published: str) -> None:
    seen = look(shop, 60, "set", "show", published)
    assert seen.lines[seen.lines.index("") + 1 :][:4] == [
        "host             mode     percent  on_expiry  role",
        "api.example.com  enforce  100      refuse     pin",
        f"    key {LIVE}",
        "    kind leaf",
    ]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("words", [("set", "list"), ("set", "history"), ("set", "diff"), ("token", "list"), ("audit",)])
def test_no_line_is_wider_than_the_screen_and_nothing_is_cut(
    shop: "Workshop", published: str, columns: int, words: tuple[str, ...]
) -> None:
    identity = shop.token_file.read_text().split("_")[1]
    file = shop.write("next.json", Running.draft("next", "spare"))
    more, whole = {
        ("set", "list"): ((), [published, "1.2", f"token:{identity}"]),
        ("set", "history"): ((published,), ["1.1", "1.2", f"token:{identity}"]),
        ("set", "diff"): ((published, "1.2", file), [LIVE, Running.pin("next")]),
        ("token", "list"): ((), [identity, "admin", "system:init"]),
        ("audit",): (("show",), [identity, f"token:{identity}", "pinset.publish"]),
    }[words]
    seen = look(shop, columns, *words, *more)
    assert seen.code == 0, seen.errors
    told = seen.lines[1:] if words == ("set", "diff") else seen.lines  # its first line names a file of any length
    assert max(map(cell_len, told)) <= columns
    assert [piece for piece in whole if piece not in seen.shown] == []
    times = re.findall(r"\d{4}-\d\d-\d\dT\S*", "\n".join(told))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    assert "…" not in seen.shown


@pytest.mark.parametrize("columns", [*range(21, 130, 27), *WIDTHS])
def test_markup_is_printed_as_it_stands_and_long_words_are_broken_without_a_loss(
    shop: "Workshop", published: str, columns: int
) -> None:
    seen = look(shop, columns, "set", "history", published)
    assert REASON.replace(" ", "") in "".join(seen.lines).replace(" ", "")
    assert "\x1b[31m" not in seen.shown
    assert "\x1b]8;" not in seen.shown  # how terminals are given links


@pytest.mark.parametrize("columns", WIDTHS)
def test_letters_that_take_two_columns_keep_the_columns_straight(hostile: "Shell", api: "Api", columns: int) -> None:
    row = {"name": "shop", "version": "1.2", "expires": "soon", "published_at": "then", "actor": "x"}
    api.body = json.dumps({"pinsets": [{**row, "name": WIDE[:6]}, {**row, "actor": WIDE}]}).encode()
    seen = look(hostile, columns, "set", "list")
    assert max(map(cell_len, seen.lines)) <= columns
    assert WIDE in "".join(seen.lines).replace(" ", "")
    assert {cell_len(line.partition("1.2")[0]) for line in seen.lines if "1.2" in line} == {2 * 6 + 2}


@pytest.mark.parametrize("letter", ["\x1b[2J", "\x9b31m", "\r", "\n", "\t", "\u202e", "\u2066", "\x00", "\u2028"])
def test_control_characters_of_what_is_stored_reach_no_terminal_and_no_pipe(capsys: Any, letter: str) -> None:
    tables.print_table(("one", tables.loose("two")), [(f"a{letter}b", f"c{letter}d")])
    told = f"a{'?' + letter[1:]}b", f"c{'?' + letter[1:]}d"
    assert capsys.readouterr().out.splitlines() == [f"one{' ' * (len(told[0]) - 3)}  two", "  ".join(told)]


def test_control_characters_reach_no_terminal(shop: "Workshop") -> None:
    shop.write("config/pinwarden/contexts.toml", '[a]\nurl = "http://127.0.0.1/\\u001b[2J\\u202e\\r"\n')
    os.chmod(shop.folder / "config/pinwarden/contexts.toml", 0o600)
    seen = look(shop, 80, "context", "list")
    assert (seen.code, seen.lines[1]) == (0, "  a        http://127.0.0.1/?[2J??"), seen.errors
    code = "from pinwarden_ops.tables import print_table; print_table(('x',), [('\\x1b[2J\\u202e\\n',)])"
    assert look(shop, 80, code=code).lines == ["x", "?[2J??"]


def test_the_state_of_a_change_has_its_colour_and_an_end_is_red(hostile: "Shell", api: "Api") -> None:
    colours = {"waiting": 33, "review": 33, "published": 32, "rejected": 31, "stale": 31, "expired": 31}
    row = {"id": 7, "name": "expired", "version": "1.2", "waits_until": "later"}
    api.body = json.dumps({"changes": [{**row, "state": word} for word in colours], "next": None}).encode()
    shown = look(hostile, 80, "change", "list").shown
    assert re.findall(r"\x1b\[(3\d)m(\w+)\x1b\[0m", shown) == [(str(colour), word) for word, colour in colours.items()]
    time = "2026-06-01T08:00:00Z"
    about = dict.fromkeys(("id", "owner", "way", "role"), "stale") | dict.fromkeys(
        ("authenticated_at", "expires_at"), time
    )
    rows = [{**about, "names": ["expired"], "revoked_at": at} for at in (None, time)]
    api.body = json.dumps({"sessions": rows}).encode()
    assert re.findall(r"\x1b\[(3\d)m(\S+)\x1b", look(hostile, 80, "session", "list").shown) == [("31", time)]


@pytest.mark.parametrize("mark", ["+", "-"])
def test_a_difference_of_words_that_no_screen_holds_is_broken_and_whole(shop: "Workshop", mark: str) -> None:
    code = (
        f"from pinwarden_ops.tables import print_difference; print_difference([({mark!r}, 'a', 'x' * 130)], piped=())"
    )
    seen = look(shop, 60, code=code)
    assert (seen.code, "".join(seen.lines).replace(" ", "")) == (0, f"{mark}a{'x' * 130}"), seen.errors
    assert max(map(len, seen.lines)) <= 60


def test_without_colours_the_states_are_words_all_the_same(shop: "Workshop", published: str) -> None:
    plain = look(shop, 80, "set", "show", published, NO_COLOR="1")
    coloured = look(shop, 80, "set", "show", published)
    assert plain.lines == coloured.lines
    assert set(ESCAPE.findall(plain.shown)) == {"\x1b[1m", "\x1b[2m", "\x1b[0m"}  # bold and dim are no colours
    assert "\x1b[32m" in coloured.shown


def test_the_variable_columns_wins_over_the_terminal(shop: "Workshop", published: str) -> None:
    assert look(shop, 60, "set", "history", published, COLUMNS="200").lines == (
        look(shop, 200, "set", "history", published).lines
    )


@pytest.mark.parametrize("words", [("set", "list"), ("set", "history", "wide"), ("token", "list"), ("audit", "show")])
def test_a_pipe_gets_a_line_for_each_row_in_aligned_columns_and_no_colour(
    shop: "Workshop", published: str, words: tuple[str, ...]
) -> None:
    done = pipe(shop, *words)
    head, *rows = done.stdout.splitlines()
    [listed] = [value for value in json.loads(pipe(shop, *words, "--json").stdout).values() if isinstance(value, list)]
    assert (done.returncode, len(rows), "\x1b" in done.stdout) == (0, len(listed), False), done.stderr
    begins = [found.start() for found in re.finditer(r"(?<=  )\S|^\S", head)]
    assert len(begins) > 4
    assert all(row[begin - 1 : begin] in ("", " ") for row in rows for begin in begins[1:])


def test_a_pipe_gets_the_bytes_that_the_commands_of_applications_print(capsys: Any) -> None:
    rows = [("shop", 1, "[b]x[/b]"), ("carts", 20, "")]
    printing.print_table(("name", "count", "why"), rows)
    expected = capsys.readouterr()
    tables.print_table(("name", tables.states("count"), tables.loose("why")), rows, empty="nothing")
    assert capsys.readouterr() == expected


@pytest.mark.parametrize(
    ("words", "heading", "hint"),
    [
        (("change", "list"), "change  pin set", "there is no change: `pinwarden change propose --help`"),
        (("change", "list", "--state", "stale"), "change  pin set", "no change is so: `pinwarden change list` shows"),
        (("session", "list"), "id  owner", "nobody is logged in: `pinwarden login` begins a session"),
        (("context", "list"), "  context", "no context has a name yet: `pinwarden context add NAME"),
    ],
)
def test_where_there_is_nothing_a_sentence_says_what_to_do(
    shop: "Workshop", words: tuple[str, ...], heading: str, hint: str
) -> None:
    seen = look(shop, 80, *words)
    assert (seen.code, seen.shown, seen.errors.startswith(f"note: {hint}")) == (0, "", True), seen
    piped = pipe(shop, *words)
    assert (piped.returncode, piped.stdout.startswith(heading), piped.stdout.count("\n")) == (0, True, 1)
    assert piped.stderr == seen.errors


def test_a_plan_has_its_differences_below_it(shop: "Workshop") -> None:
    for word in ("carts", "deals"):
        shop.write(f"pinsets/{word}.json", Running.draft(word, "spare", host=f"{word}.example.com"))
    words = ("set", "apply", "-f", str(shop.folder / "pinsets"), "--plan")
    seen = look(shop, 200, *words)
    at = seen.lines.index("create   carts    carts.json")
    assert seen.lines[0].split() == ["step", "pin", "set", "file"]
    assert seen.lines[at + 1] == "    +  carts.example.com  newly pinned, mode enforce, on_expiry refuse"
    assert "\x1b[32mcreate\x1b[0m" in seen.shown
    assert "\x1b[32m+\x1b[0m" in seen.shown
    assert "comparing" not in seen.errors


@pytest.mark.parametrize("columns", [18, 200])
def test_what_is_under_way_is_told_on_one_line_and_leaves_nothing_behind(shop: "Workshop", columns: int) -> None:
    for word in ("carts", "deals"):
        shop.write(f"pinsets/{word}.json", Running.draft(word, "spare", host=f"{word}.example.com"))
    words = ("set", "apply", "-f", str(shop.folder / "pinsets"), "--plan")
    shown = look(shop, columns, *words, all_of_it=True).shown
    told = [
        f"{at} of 2: {doing} {word}" for doing in ("comparing", "checking") for at, word in ((1, "carts"), (2, "deals"))
    ]
    assert re.findall(r"\r\x1b\[K([^\r\n]+)\r\x1b\[K", shown) == [words[: columns - 1] for words in told]
    assert shown.count("\x1b[K") == 2 * len(told)


def test_without_rich_a_terminal_is_told_what_to_install_and_a_pipe_needs_none(
    shop: "Workshop", published: str
) -> None:
    code = f"""
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "rich":
            raise ModuleNotFoundError("No module named 'rich'", name="rich")

sys.meta_path.insert(0, Without())
{RUN}
"""
    seen = look(shop, 80, "set", "list", code=code)
    assert (seen.code, seen.shown) == (2, "")
    assert seen.errors.splitlines() == [
        "error: `pinwarden set` needs the Python module rich, which is not installed",
        "hint: pip install 'pinwarden[ops]'",
    ]
    piped = pipe(shop, "set", "list", code=code)
    assert (piped.returncode, published in piped.stdout) == (0, True), piped.stderr


@pytest.mark.parametrize("words", [("token", "list", "--help"), ("set", "list")])
def test_rich_is_imported_where_a_terminal_shows_a_table_and_nowhere_else(
    shop: "Workshop", published: str, words: tuple[str, ...]
) -> None:
    code = f"import atexit, sys; atexit.register(lambda: print('rich' in sys.modules, file=sys.stderr)); {RUN}"
    assert pipe(shop, *words, code=code).stderr == "False\n"
    assert look(shop, 80, *words, code=code).errors == f"{'--help' not in words}\n"
