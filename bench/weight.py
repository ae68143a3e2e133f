"""What the packages weigh, and how long it takes to load them.

    weight.py FILE        writes a table for report.py

Loading is the difference of two processes, one with and one without, each the best of
several: what the interpreter itself takes is nobody's fault here.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURNS = 9
PYTHON = ".local/bench-venv/bin/python"

PEERS_PYTHON = ("longwire", "picows", "aiohttp", "websockets.asyncio.client", "websocket")
PEERS_NODE = {"longwire": "../../../bindings-node/index.js", "ws": "ws", "undici": "undici"}


def mebibytes(size: float) -> str:
    return f"{size / (1 << 20):.2f} MiB"


def one(pattern: str) -> pathlib.Path:
    """The newest file of that name."""
    return max(ROOT.glob(pattern), key=lambda path: path.stat().st_mtime)


def took(command: list[str], folder: pathlib.Path) -> float:
    """Milliseconds, at best."""
    best = float("inf")
    for _ in range(TURNS):
        begun = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True)
        best = min(best, time.perf_counter() - begun)
    return best * 1000


def loads(
    commands: dict[str, list[str]], nothing: list[str], folder: pathlib.Path
) -> list[list[str]]:
    base = took(nothing, folder)
    return [[name, f"{took(command, folder) - base:.1f} ms"] for name, command in commands.items()]


def main(target: str) -> None:
    library = one("build/lib/liblongwire.so.*.*.*")
    stripped = ROOT / "build/bench/liblongwire.stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    wheel, addon = one("dist/longwire-*.whl"), one("bindings-node/longwire.*.node")
    sizes = [
        ["liblongwire.so, stripped", mebibytes(stripped.stat().st_size)],
        ["the wheel (compressed)", mebibytes(wheel.stat().st_size)],
        ["the Node addon", mebibytes(addon.stat().st_size)],
        ["the Node addon, compressed", mebibytes(len(gzip.compress(addon.read_bytes())))],
    ]
    python, node = str(ROOT / PYTHON), "node"
    modules = {f"`import {name}`": [python, "-c", f"import {name}"] for name in PEERS_PYTHON}
    imports = loads(modules, [python, "-c", "import asyncio, ssl"], ROOT)
    packages = {
        f"`require('{name}')`": [node, "-e", f"require('{path}')"]
        for name, path in PEERS_NODE.items()
    }
    requires = loads(packages, [node, "-e", "0"], ROOT / "bench/programs/node")
    text = [
        "Link-time optimisation, one codegen unit, dependencies without their default features.",
        "Importing is counted beyond `import asyncio, ssl`.\n",
    ]
    tables = [
        {"head": ["what", "size"], "rows": sizes},
        {"head": ["loading", "time"], "rows": [*imports, *requires]},
    ]
    pathlib.Path(target).write_text(json.dumps({"title": "Weight", "text": text, "tables": tables}))


if __name__ == "__main__":
    main(*sys.argv[1:])
