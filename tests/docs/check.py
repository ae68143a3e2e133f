"""Holds the documentation to its word.

Every relative link in the Markdown files leads somewhere, every fenced Python,
JavaScript, C and C++ snippet is at least valid (C and C++ against the real
headers), the table of errors agrees with the C header and with the Python and
Node packages, and each dependency is explained. Rust snippets are doc-tests of
`examples/rust`.
"""

import ast
import itertools
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in sorted(listed.stdout.split("\0")) if name]


def anchor(heading: str) -> str:
    """The fragment under which a heading is found."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        other = page.parent / name if name else page
        if not other.exists():
            yield f"there is no {target}"
        elif fragment and fragment not in map(anchor, HEADING.findall(other.read_text())):
            yield f"{target}: no such heading"


def python_is_valid(snippet: str) -> str:
    try:
        compile(snippet, "snippet", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    return ""


def accepted_by(*command: str) -> Callable[[str], str]:
    def check(snippet: str) -> str:
        run = subprocess.run(
            command, input=snippet, capture_output=True, cwd=ROOT, text=True, check=False
        )
        return run.stderr if run.returncode else ""

    return check


WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude", "-fsyntax-only")
CHECKS: dict[str, Callable[[str], str]] = {
    "python": python_is_valid,
    "js": accepted_by("node", "--input-type=module", "--check", "-"),
    "c": accepted_by("cc", "-std=c99", *WARNINGS, "-x", "c", "-"),
    "cpp": accepted_by("c++", "-std=c++17", *WARNINGS, "-x", "c++", "-"),
}


def bad_snippets(page: Path) -> Iterator[str]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        language, snippet = match.groups()
        if language in CHECKS and (complaint := CHECKS[language](snippet)):
            line = text.count("\n", 0, match.start()) + 1
            yield f"the {language} snippet in line {line}: {complaint}"


def unlike_the_table() -> Iterator[str]:
    """Where docs/errors.md and the languages differ. A Rust test compares it with the core."""
    row = re.compile(r"^\| (-\d+) \| `(LW_E\w+)` \| `\w+` \| `(\w+)` \|", re.MULTILINE)
    table = row.findall((ROOT / "docs/errors.md").read_text())

    header = (ROOT / "include/longwire.h").read_text()
    in_c = re.findall(r"^#define (LW_E[A-Z0-9]+) (-\d+)$", header, re.MULTILINE)
    if (expected := [(symbol, number) for number, symbol, _ in table]) != in_c:
        yield f"expected the codes of longwire.h, {in_c}, got {expected}"

    exceptions = runpy.run_path(str(ROOT / "bindings-python/python/longwire/exceptions.py"))
    in_python = [
        (str(n), "LW_" + cls.symbol, cls.__name__) for n, cls in exceptions["BY_NUMBER"].items()
    ]
    if set(table) != set(in_python):
        yield f"not as in exceptions.py: {sorted(set(table) ^ set(in_python))}"

    types = (ROOT / "bindings-node/index.d.ts").read_text()
    in_node = re.findall(r"^  \| '(LW_E[A-Z0-9]+)'", types, re.MULTILINE)
    if (expected := [symbol for _, symbol, _ in table]) != in_node:
        yield f"expected the codes of index.d.ts, {in_node}, got {expected}"


def dependencies_unexplained() -> Iterator[str]:
    """CONTRIBUTING.md has a line for each dependency that says what it is for."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for manifest in (
        ROOT.glob("*/Cargo.toml"),
        ROOT.glob("tests/*/Cargo.toml"),
        ROOT.glob("Cargo.toml"),
    ):
        for path in manifest:
            content = tomllib.loads(path.read_text())
            tables = [content.get("workspace", {}).get("dependencies", {})]
            tables += [content.get(f"{kind}dependencies", {}) for kind in ("", "dev-", "build-")]
            for name in itertools.chain(*tables):
                if name != "longwire" and f"`{name}`" not in text:
                    yield f"{name} of {path.relative_to(ROOT)} is not explained"
    requirements = (ROOT / "bindings-python/requirements-dev.txt").read_text().split("\n")
    package = json.loads((ROOT / "bindings-node/package.json").read_text())
    names = [re.split(r"[=<>~ ]", line)[0] for line in requirements if line and line[0] != "#"]
    for name in [*names, *package["devDependencies"], *package.get("dependencies", {})]:
        if f"`{name}`" not in text:
            yield f"{name} is not explained"


def main() -> int:
    passed = failed = 0
    tests = [
        (f"{page.relative_to(ROOT)}: {what}", list(check(page)))
        for page in pages()
        for what, check in (("links", broken_links), ("snippets", bad_snippets))
    ]
    tests.append(("docs/errors.md", list(unlike_the_table())))
    tests.append(("CONTRIBUTING.md: dependencies", list(dependencies_unexplained())))
    for name, complaints in tests:
        passed, failed = passed + (not complaints), failed + bool(complaints)
        for complaint in complaints:
            print(f"{name}: {complaint}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
