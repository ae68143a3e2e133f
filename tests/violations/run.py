"""Every violation that has a number, against every client of ours.

    run.py [--face NAME]… [FILE-OR-NUMBER]…

Each file says what a server does and what the client must do (README.md). Each face of
the library has a small program that does as it is told and tells what happened. Prints
what failed, and for each face "N passed, N failed".
"""

from __future__ import annotations

import argparse
import os
import queue
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from case import Case, Report, Wrong, read
from peer import Frame, Late, Peer, Unplayable

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CLIENTS = HERE / "clients"
CORE = "target/release/longwire-violations"

FACES: dict[str, list[str]] = {
    "Rust": [CORE],
    "Rust, hosted": [CORE, "hosted"],
    "C": ["build/violations/c"],
    "Python": [sys.executable, str(CLIENTS / "python.py")],
    "Node": ["node", str(CLIENTS / "node.mjs")],
}

#: So many failures of one file are told; the rest of it is not played.
PATIENCE = 3

#: Played first, unmeasured: threads start, and pages are touched for the first time.
WARM_UP = "4001"


class Program:
    """A client program, started when it is needed."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def tell(self, line: str) -> None:
        """Have the program play its part."""
        if self._process is None:
            # A proxy of the developer's is none of these tests' business.
            keep = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, text=True, bufsize=1, env=keep,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            self._lines = queue.SimpleQueue()
            threading.Thread(target=_listen, args=(self._process, self._lines), daemon=True).start()
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def pid(self) -> int | None:
        """Return its process id, if it was started."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            raise Wrong(f"behind the last case the client program ended with {code}")
        return None if self._process is None else self._process.pid

    def hear(self, deadline: float) -> Report:
        """Return the next event."""
        try:
            line = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise Late from None
        if line is None:
            assert self._process is not None
            code = self._process.wait()
            self._process = None
            raise Wrong(f"the client program ended with {code}")
        return Report.read(line)

    def last_words(self) -> list[str]:
        """Return what is there of a program that will not be used any more."""
        code = None if self._process is None else self._process.poll()
        self.end()
        words = []
        while (line := self._lines.get()) is not None:
            words.append(str(Report.read(line)))
        return [*words, *([] if code is None else [f"its end with {code}"])]

    def end(self) -> None:
        """End the program, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _listen(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)


class Memory:
    """What a process takes during a case, in megabytes."""

    def __init__(self, pid: int, address_space: float | None) -> None:
        self._pid = pid
        # From here on, the peak is the peak of this case.
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._before = self._status("VmRSS")
        self._limit = resource.prlimit(pid, resource.RLIMIT_AS)
        if address_space is not None:
            soft = int((self._status("VmSize") + address_space) * (1 << 20))
            resource.prlimit(pid, resource.RLIMIT_AS, (soft, self._limit[1]))

    def lift(self) -> None:
        """Let it reserve what it likes again."""
        resource.prlimit(self._pid, resource.RLIMIT_AS, self._limit)

    def growth(self) -> float:
        """Return by how much its resident memory was larger than before, at most."""
        return self._status("VmHWM") - self._before

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(f"{name} of process {self._pid}")


def play(case: Case, program: Program) -> None:
    """Play a case; raise what is wrong with what the client did."""
    deadline = time.monotonic() + case.seconds
    pid = program.pid()
    memory = None if pid is None else Memory(pid, case.address_space)
    reports: list[Report] = []

    def await_message() -> None:
        reports.append(program.hear(deadline))
        while reports[-1].word not in ("text", "binary", "closed"):
            reports.append(program.hear(deadline))

    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            program.tell(case.command(listener.getsockname()[1]))
            sent = [
                serve(listener, one.script, deadline, await_message) for one in case.connections
            ]
            while not reports or reports[-1].word != "closed":
                reports.append(program.hear(deadline))
            listener.settimeout(0)
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                pass
            else:
                raise Wrong("the client connected once more")
    except (Late, TimeoutError):
        came = ", ".join([*map(str, reports), *program.last_words()][:10]) or "nothing"
        raise Wrong(f"not over after {case.seconds} s; until then {came}") from None
    except Unplayable as error:
        raise Wrong(str(error)) from error
    finally:
        if not reports or reports[-1].word != "closed":
            program.end()
        elif memory is not None:
            memory.lift()
    case.check(reports)
    for connection, frames in zip(case.connections, sent, strict=True):
        connection.check(frames)
    if memory is not None and (growth := memory.growth()) > case.megabytes:
        raise Wrong(f"took {growth:.1f} MB of memory; {case.megabytes} are allowed")


def serve(
    listener: socket.socket, script: str, deadline: float, await_message: Callable[[], None]
) -> list[Frame]:
    """Play one connection; return what the client sent behind its request."""
    listener.settimeout(max(deadline - time.monotonic(), 0.001))
    peer = Peer(listener.accept()[0], deadline, await_message)
    peer.play(script)
    return peer.frames()


@dataclass
class Result:
    """How a face did."""

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed in {self.seconds:.0f} s"


def play_all(face: str, files: dict[Path, list[Case]]) -> Result:
    """Play all cases with one face's program; print what fails."""
    begun = time.monotonic()
    result = Result()
    program = Program(FACES[face])
    try:
        warm_up = next(path for path in files if path.name.startswith(WARM_UP))
        play(files[warm_up][0], program)
        for path, cases in files.items():
            failures = 0
            for case in cases:
                try:
                    play(case, program)
                except Wrong as wrong:
                    print(f"{face}: {path.relative_to(HERE)} ({case.name}): {wrong}", flush=True)
                    failures += 1
                    if failures == PATIENCE:
                        break
            result.failed += failures > 0
            result.passed += failures == 0
    finally:
        program.end()
    result.seconds = time.monotonic() - begun
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--face", action="append", choices=FACES, help="only these faces")
    parser.add_argument("case", nargs="*", help="only files whose names begin so")
    arguments = parser.parse_args()
    paths = [
        path
        for path in sorted(HERE.glob("*/[0-9]*.toml"), key=lambda path: path.name)
        if not arguments.case or path.name.startswith((*arguments.case, WARM_UP))
    ]
    try:
        files = {path: read(path) for path in paths}
    except Wrong as wrong:
        sys.exit(f"run.py: {wrong}")
    faces = arguments.face or list(FACES)
    with ThreadPoolExecutor(len(faces)) as pool:
        results = list(pool.map(lambda face: play_all(face, files), faces))
    for face, result in zip(faces, results, strict=True):
        print(f"{face:12}  {result}")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
