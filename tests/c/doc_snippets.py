#!/usr/bin/env python3
"""Compiles every C snippet of the documentation.

doc_snippets.py COMPILER FILE...: COMPILER is a command line that compiles C,
FILE a Markdown file. A ```c block that defines functions or includes headers is
compiled as it stands, after the includes below. Any other is the inside of a
function, in which `config`, `client`, `event`, `user` and `error` exist unless
the snippet declares them. Nothing is skipped: a block that does not compile is a
failure.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```c\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFINITION = re.compile(r"^[a-z][\w \*]*\([^;]*\)\s*\{", re.MULTILINE)
INCLUDES = """\
#include <longwire.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
"""
# What a snippet may take for granted, and how to tell that it does not.
GIVEN = {
    "config": "lw_config *config = NULL;",
    "client": "lw_client *client = NULL;",
    "event": "const lw_event *event = NULL;",
    "error": "lw_error *error = NULL;",
    "user": "void *user = NULL;",
}
CALLBACK = "void on_event(lw_client *client, const lw_event *event, void *user);\n"
# A snippet may leave something unused; everything else is an error.
QUIET = [
    "-Wno-unused-variable",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-unused-but-set-variable",
]


def source(snippet: str) -> str:
    """A whole translation unit around `snippet`."""
    if DEFINITION.search(snippet) or "#include" in snippet:
        return INCLUDES + snippet
    given = [
        f"    {declaration} (void){name};"
        for name, declaration in GIVEN.items()
        if not re.search(rf"\b\w+ \*?{name}( =|;)", snippet)
    ]
    callback = CALLBACK if "on_event" in snippet else ""
    body = "\n".join([*given, "    {", snippet, "    }"])
    return f"{INCLUDES}{callback}void snippet(void);\nvoid snippet(void)\n{{\n{body}\n}}\n"


def main() -> int:
    """Compiles the snippets of all files; 1 if one failed."""
    compiler, *files = sys.argv[1:]
    passed = failed = 0
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            result = subprocess.run(
                [*shlex.split(compiler), *QUIET, "-fsyntax-only", "-x", "c", "-"],
                input=source(block.group(1)),
                text=True,
                capture_output=True,
                check=False,
            )
            if result.returncode == 0:
                passed += 1
            else:
                failed += 1
                print(f"FAILED {file}:{line}\n{result.stderr}")
    print(f"C snippets: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
