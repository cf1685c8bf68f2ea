"""
The types as a user has them: from the built wheel, in an environment without this repository.

mypy and pyright read a user's file in their strict modes; neither may find anything, nor miss what is wrong.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import pinwarden

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PAGES = "\n".join(page.read_text() for page in (REPOSITORY / "docs").glob("*.md"))
# docs/versions.md lists these; each says in __all__ what of it is public.
MODULES = (
    "pinwarden",
    "pinwarden.cache",
    "pinwarden.integrations.aiohttp",
    "pinwarden.integrations.httpx",
    "pinwarden.integrations.opentelemetry",
    "pinwarden.integrations.prometheus",
    "pinwarden.integrations.requests",
    "pinwarden.testing",
    "pinwarden.testing.contracts",
    "pinwarden.testing.plugin",
)
PUBLIC = [(module, name) for module in MODULES for name in importlib.import_module(module).__all__ if name[0] != "_"]

# One wrong line each, and the words by which both checkers must complain about it.
WRONG = {
    "an unknown option": 'PinClient("https://x", pinset="a", root="r", unpined="refuse")',
    "a value that is none": 'PinClient("https://x", pinset="a", root="r", unpinned="maybe")',
    "no root": 'PinClient("https://x", pinset="a")',
    "a cache that is none": 'PinClient("https://x", pinset="a", root="r", cache=5)',
    "a status that may be written": "PinClient.from_env().status().version = 7",
    "a name that is not there": "pinwarden.PinCleint",
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, *words, str(REPOSITORY)], check=True, capture_output=True)
    (built,) = folder.glob("pinwarden-*.whl")
    return built


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and the libraries, but not this repository."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "libraries.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    return folder / "bin" / "python"


def run(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=240)


def mypy(python: Path, folder: Path, *files: Path) -> tuple[int, str]:
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    ended = run(
        folder, sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--python-executable", python, *files
    )
    return ended.returncode, ended.stdout


def pyright(python: Path, folder: Path, *files: Path) -> list[tuple[str, int, str]]:
    settings = {"typeCheckingMode": "strict", "include": [str(file) for file in files]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    program = Path(sys.executable).parent / "basedpyright"
    ended = run(folder, program, "--pythonpath", python, "--outputjson", "--project", folder)
    found = json.loads(ended.stdout)
    assert found["summary"]["filesAnalyzed"] == len(files)
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in found["generalDiagnostics"]
    ]


@pytest.fixture
def mistakes(tmp_path: Path) -> Path:
    file = tmp_path / "mistakes.py"
    file.write_text(
        "import pinwarden\nfrom pinwarden import PinClient\n" + "".join(f"{one}\n" for one in WRONG.values())
    )
    return file


def test_the_wheel_says_that_every_package_is_typed_and_carries_the_hook(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages >= {"pinwarden", "pinwarden_keys", "pinwarden_ops"}
    assert {f"{package}/py.typed" for package in packages if package not in NOT_TYPED} <= names
    assert "pinwarden/run_hook/sitecustomize.py" in names


# Programs rather than libraries: nobody imports them.
NOT_TYPED = ("pinwarden_server", "pinwarden_demo")


def test_the_user_has_the_wheel_and_not_the_repository(python: Path, tmp_path: Path) -> None:
    shown = run(tmp_path, python, "-c", "import pinwarden, sys; print(pinwarden.__file__, *sys.path, sep='\\n')").stdout
    assert Path(shown.splitlines()[0]).is_relative_to(python.parents[1])
    assert str(REPOSITORY / "client") not in shown.splitlines()


def test_mypy_has_nothing_to_say_about_a_users_file(python: Path, tmp_path: Path) -> None:
    code, told = mypy(python, tmp_path, HERE / "api.py")
    assert (code, told) == (0, "Success: no issues found in 1 source file\n")


def test_pyright_has_nothing_to_say_about_a_users_file(python: Path, tmp_path: Path) -> None:
    assert pyright(python, tmp_path, HERE / "api.py") == []


def test_no_public_type_is_left_to_guessing(python: Path, tmp_path: Path) -> None:
    """Checkers infer what is not written down, each in its way."""
    program = Path(sys.executable).parent / "basedpyright"
    environ = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}  # how --verifytypes finds it
    words = [program, "--verifytypes", "pinwarden", "--ignoreexternal", "--outputjson"]
    ended = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    symbols = json.loads(ended.stdout)["typeCompleteness"]["symbols"]
    origins = {getattr(getattr(importlib.import_module(module), name), "__module__", module) for module, name in PUBLIC}
    begin = tuple(f"{origin}.{name}" for origin in origins for _, name in PUBLIC)
    mine = [one for one in symbols if one["name"].startswith(begin)]
    assert len(mine) > len(PUBLIC)
    assert [(one["name"], one["diagnostics"]) for one in mine if not one["isTypeKnown"] or one["isTypeAmbiguous"]] == []


def test_both_complain_about_every_mistake(python: Path, tmp_path: Path, mistakes: Path) -> None:
    lines = set(range(3, 3 + len(WRONG)))
    _, told = mypy(python, tmp_path, mistakes)
    assert {int(line) for line in re.findall(r"^mistakes\.py:(\d+): error", told, re.MULTILINE)} == lines
    assert {line for _, line, _ in pyright(python, tmp_path, mistakes)} == lines


def test_the_users_file_has_every_public_name() -> None:
    text = (HERE / "api.py").read_text()
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    fixtures = set(importlib.import_module("pinwarden.testing.plugin").__all__)  # nobody calls a fixture by its name
    assert {name for _, name in PUBLIC} - used == fixtures


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module}.{name}" for module, name in PUBLIC])
def test_every_public_name_is_documented_where_it_stands_and_on_a_page(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`|\b{name}\(", PAGES), f"no page names {name}"
    if callable(value):
        assert (inspect.getdoc(value) or "").strip(), f"{name} has no docstring"
    if inspect.isclass(value):
        undocumented = [
            attribute
            for attribute, one in vars(value).items()
            if not attribute.startswith(("_", "test_")) and inspect.isfunction(one) and not inspect.getdoc(one)
        ]
        assert undocumented == []


ERRORS = sorted(name for name in pinwarden.__all__ if name.endswith("Error"))


@pytest.mark.parametrize("name", ERRORS)
def test_what_an_error_carries_is_told(name: str) -> None:
    kind = getattr(pinwarden, name)
    told = "\n".join(inspect.getdoc(each) or "" for each in kind.__mro__ if each is not object)
    arguments = set(inspect.signature(kind.__init__).parameters) - {"self", "values"}
    assert [argument for argument in arguments if not re.search(rf"\b{argument}\b", told)] == []


def first_cells(heading: str) -> list[str]:
    """Return the names in the first column of a table of docs/sdk.md."""
    section = (REPOSITORY / "docs" / "sdk.md").read_text().partition(heading)[2].partition("\n\n")[2]
    rows = re.findall(r"^\| (.*?) \|", section.partition("\n\n")[0], re.MULTILINE)[1:]
    return [name for row in rows for name in re.findall(r"`(?:\w+\.)?(\w+)", row) if name != "with"]


def test_the_page_of_the_sdk_has_every_argument_option_method_field_and_error() -> None:
    parameters = inspect.signature(pinwarden.PinClient).parameters
    assert first_cells("may be called from any thread.") == [one for one in parameters if one != "options"]
    assert first_cells("are the rarer ones") == list(pinwarden.Options.__annotations__)
    assert set(first_cells("for tests. |")) == {
        name
        for name, one in vars(pinwarden.PinClient).items()
        if callable(getattr(one, "__func__", one)) and name[0] != "_"
    }
    assert first_cells("One look at a client") == [one.name for one in dataclasses.fields(pinwarden.Status)]
    listed = (REPOSITORY / "docs" / "sdk.md").read_text().partition("## Errors")[2]
    assert [name for name in ERRORS if f"`{name}`" not in listed] == []


def test_the_page_of_versions_lists_the_modules_that_are_public() -> None:
    page = (REPOSITORY / "docs" / "versions.md").read_text()
    table = page.partition("| what |")[2].partition("\n\n")[0]
    for module in MODULES:
        tail = "." + module.rpartition(".")[2]
        assert module in table or f"`{tail}`" in table, module
