"""Every case of the Autobahn suite, through the faces of longwire.

run.py [--messages N] [--cases PATTERNS] [--faces NAMES]

For each face a client echoes what a fuzzing server sends, in one case after another, and
the server says how it behaved. That is compared with `expected.txt`, case by case: any
difference fails the run, and so does a case of which nothing was heard.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/conformance"
SUITE = ".local/autobahn/env/bin/python"
LOG = ROOT / ".local/log/autobahn"

FACES: dict[str, Sequence[str]] = {
    "C": ["build/conformance/client", "callback"],
    "Python asyncio": [sys.executable, f"{HERE}/client.py", "asyncio"],
    "Node connect": ["node", f"{HERE}/client.mjs", "connect"],
    # Not part of a run unless named:
    "C hosted": ["build/conformance/client", "hosted"],
    "Python blocking": [sys.executable, f"{HERE}/client.py", "blocking"],
    "Node WebSocket": ["node", f"{HERE}/client.mjs", "websocket"],
}
DEFAULT_FACES = list(FACES)[:3]

#: Each part has a server and a client of its own, two at a time. The long ones
#: come first.
PARTS = ("12.*", "13.*", "1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.*")
SIDE_BY_SIDE = 2

#: Seconds without a verdict, at most; the suite itself gives no case more than 480.
SILENCE = 600.0
#: Seconds until the server has told of the last case.
AFTERWARDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """The server's verdicts on the messages and on the close, and the client's close code."""

    behavior: str
    close: str
    code: int | None

    def __str__(self) -> str:
        return f"{self.behavior}, close {self.close} ({self.code or 'no code'})"


@dataclass
class Heard:
    """What the server said of one face, case by case."""

    cases: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latest: float = field(default_factory=time.monotonic)

    def add(self, other: "Heard") -> None:
        self.cases += other.cases
        self.outcomes |= other.outcomes
        self.remarks |= other.remarks
        self.failures += other.failures
        self.seconds += other.seconds

    def listen(self, answers: IO[str]) -> None:
        """Takes down the verdicts until there is one for every case, or the server ends."""
        while len(self.outcomes) < len(self.cases) and (line := answers.readline()):
            answer = json.loads(line)
            case = answer["case"]
            self.outcomes[case] = Outcome(answer["behavior"], answer["close"], answer["code"])
            self.remarks[case] = answer["remark"]
            self.latest = time.monotonic()


def read_expected() -> dict[str, Outcome]:
    """A line is "CASE[-LAST] BEHAVIOR CLOSE CODE", with "-" for a close frame without a code."""
    expected = {}
    for line in (ROOT / HERE / "expected.txt").read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        cases, behavior, close, code = line.split()
        outcome = Outcome(behavior, close, None if code == "-" else int(code))
        group, _, numbers = cases.rpartition(".")
        first, _, last = numbers.partition("-")
        for number in range(int(first), int(last or first) + 1):
            expected[f"{group}.{number}"] = outcome
    return expected


@contextlib.contextmanager
def served(patterns: str, messages: int | None) -> Iterator[subprocess.Popen[str]]:
    command = [SUITE, "-u", f"{HERE}/fuzzing_server.py", patterns]
    if messages is not None:
        command.append(str(messages))
    with (
        LOG.open("a") as log,
        subprocess.Popen(
            command, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        ) as server,
    ):  # fmt: skip
        try:
            yield server
        finally:
            server.kill()


def converse(face: str, patterns: str, messages: int | None) -> Heard:
    """Lets the client of a face through the cases that `patterns` name."""
    begun = time.monotonic()
    with served(patterns, messages) as server:
        assert server.stdout
        line = server.stdout.readline()
        if not line:
            return Heard(failures=[f"the fuzzing server did not start; see {LOG}"])
        ready = json.loads(line)
        heard = Heard(cases=ready["cases"])
        listener = threading.Thread(target=heard.listen, args=[server.stdout])
        listener.start()
        client = subprocess.Popen(
            [*FACES[face], ready["ws"], str(len(heard.cases))],
            cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        heard.failures += watch(client, heard)
        listener.join(AFTERWARDS)
    heard.seconds = time.monotonic() - begun
    print(f"{face}: {patterns} took {heard.seconds:.0f} s", flush=True)
    return heard


def watch(client: subprocess.Popen[str], heard: Heard) -> Iterator[str]:
    """Waits for the end of a client, as long as there is progress; what went wrong, if anything."""
    while True:
        try:
            _, said = client.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            if time.monotonic() - heard.latest > SILENCE:
                client.kill()
                yield f"no verdict for {SILENCE:.0f} s, {len(heard.outcomes)} cases were over"
        else:
            if client.returncode != 0:
                yield f"the client ended with {client.returncode}: {said.strip()}"
            return


def differences(heard: Heard, expected: dict[str, Outcome], everything: bool) -> Iterator[str]:
    for case in dict.fromkeys([*heard.cases, *(expected if everything else [])]):
        outcome, wanted = heard.outcomes.get(case), expected.get(case)
        if outcome != wanted:
            yield (
                f"{case}: expected {wanted or 'no such case'}, "
                f"got {outcome or 'nothing'}: {heard.remarks.get(case, '')}"
            )


def count(verdicts: Iterable[str]) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in Counter(verdicts).most_common())


def table(results: dict[str, Heard]) -> Iterator[str]:
    """How often each verdict was given, and for how long server and client were at it."""
    yield f"{'':16}{'cases':>6}   {'messages':30}{'close':30}{'seconds':>7}"
    for face, heard in results.items():
        messages = count(outcome.behavior for outcome in heard.outcomes.values())
        close = count(outcome.close for outcome in heard.outcomes.values())
        yield f"{face:16}{len(heard.cases):6}   {messages:30}{close:30}{heard.seconds:7.0f}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, help="per case of 12.* and 13.*, not 1,000")
    arguments.add_argument("--cases", nargs="+", metavar="PATTERN", help='such as "9.*"')
    arguments.add_argument("--faces", nargs="+", choices=FACES, default=DEFAULT_FACES)
    given = arguments.parse_args()

    LOG.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    parts = given.cases or PARTS
    jobs = [(face, patterns) for patterns in parts for face in given.faces]
    results = {face: Heard() for face in given.faces}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        run = pool.map(lambda job: converse(job[0], job[1], given.messages), jobs)
        for (face, _), heard in zip(jobs, run, strict=True):
            results[face].add(heard)

    print(*table(results), sep="\n")
    expected = read_expected()
    failed = cases = 0
    for face, heard in results.items():
        wrong = list(differences(heard, expected, everything=given.cases is None))
        for what in [*heard.failures, *wrong]:
            print(f"{face}: {what}")
        failed += len(wrong) + len(heard.failures)
        cases += len(heard.cases)
    print(f"{cases} cases in {time.monotonic() - begun:.0f} s, {failed} not as expected")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
