"""Holds the documentation to its word.

Every relative link in the Markdown files leads somewhere, every fenced Python,
JavaScript, C and C++ snippet is at least valid (C and C++ against the real
headers), and the table of errors agrees with the C header. Rust snippets are
doc-tests of `examples/rust`.
"""

import ast
import re
import subprocess
import sys
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
        run = subprocess.run(command, input=snippet, capture_output=True, cwd=ROOT, text=True)
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


def errors_unlike_the_header() -> Iterator[str]:
    table = re.findall(r"^\| (-\d+) \| `(LW_E\w+)`", (ROOT / "docs/errors.md").read_text(), re.M)
    header = (ROOT / "include/longwire.h").read_text()
    defined = re.findall(r"^#define (LW_E[A-Z0-9]+) \(?(-\d+)\)?$", header, re.MULTILINE)
    if {number: symbol for number, symbol in table} != {number: symbol for symbol, number in defined}:
        yield "docs/errors.md and include/longwire.h differ"
        yield from sorted(f"only in one of them: {row}" for row in set(table) ^ {(n, s) for s, n in defined})


def main() -> int:
    passed = failed = 0
    tests = [
        (f"{page.relative_to(ROOT)}: {what}", list(check(page)))
        for page in pages()
        for what, check in (("links", broken_links), ("snippets", bad_snippets))
    ]
    tests.append(("errors.md: the C header", list(errors_unlike_the_header())))
    for name, complaints in tests:
        passed, failed = passed + (not complaints), failed + bool(complaints)
        for complaint in complaints:
            print(f"{name}: {complaint}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
