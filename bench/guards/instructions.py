"""Instructions per message, counted by callgrind.

instructions.py [--update]

Compares what each step of the protocol costs with the committed table, and fails if one has
become more than 5 % worse. With --update it writes the table instead.
"""

import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = "target/release/longwire-instructions"
TABLE = pathlib.Path(__file__).with_name("instructions.toml")
TOLERANCE = 0.05

HEADER = """\
# Instructions per message, counted by callgrind. Written by `make bench-guards-update`; what
# it depends on is in CONTRIBUTING.md.

"""


def toolchain() -> dict[str, str]:
    """What counts depend on besides the code."""
    rustc, valgrind = (
        subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
        for tool in ("rustc", "valgrind")
    )
    return {
        "rustc": rustc.split()[1],
        "valgrind": valgrind.strip().removeprefix("valgrind-"),
        "libc": " ".join(platform.libc_ver()),
    }


def count() -> dict[str, float]:
    """The cost of each case."""
    with tempfile.TemporaryDirectory() as folder:
        printed = subprocess.run(
            [
                "valgrind",
                "--quiet",
                "--tool=callgrind",
                f"--callgrind-out-file={folder}/counts",
                "--toggle-collect=*::measured",
                "--dump-after=*::measured",
                PROGRAM,
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
        ).stdout.splitlines()
        totals = [
            collected(pathlib.Path(f"{folder}/counts.{number + 1}"))
            for number in range(2 * len(printed))
        ]
    costs = {}
    for line, once, twice in zip(printed, totals[::2], totals[1::2], strict=True):
        messages, name = line.split(maxsplit=1)
        costs[name] = round((twice - once) / int(messages), 1)
    return costs


def collected(path: pathlib.Path) -> int:
    total = re.search(r"^totals: (\d+)$", path.read_text(), re.M)
    if total is None:
        sys.exit(f"expected a total in callgrind's file, got none in {path}")
    return int(total[1])


def write(costs: dict[str, float]) -> None:
    lines = ["[made-with]", *(f'{name} = "{version}"' for name, version in toolchain().items())]
    lines += ["", "[instructions]", *(f'"{name}" = {cost}' for name, cost in costs.items())]
    TABLE.write_text(HEADER + "\n".join(lines) + "\n")


def compare(costs: dict[str, float]) -> list[str]:
    """What is worse than the table says; what is better is only printed."""
    table = tomllib.loads(TABLE.read_text())
    expected: dict[str, float] = table["instructions"]
    failures = []
    for name in sorted(costs.keys() | expected.keys()):
        if name not in costs or name not in expected:
            where = "measured" if name in costs else "in the table"
            failures.append(f"{name}: only {where}; make bench-guards-update writes the table")
    improved = False
    for name, cost in costs.items():
        before = expected.get(name, cost)
        change = cost / before - 1
        print(f"{name:46} {cost:12,.1f}   {change:+6.1%}")
        if change > TOLERANCE:
            failures.append(
                f"{name}: {cost:,.1f} instructions per message, {change:+.1%} to the"
                f" {before:,.1f} of {TABLE.relative_to(ROOT)}"
            )
        improved = improved or change < -TOLERANCE
    if improved:
        print(
            "NOTICE: better than the table by more than 5 %; make bench-guards-update keeps it so"
        )
    if (made_with := table["made-with"]) != (running := toolchain()):
        note = f"the table was made with {made_with}, this was counted with {running}"
        print(f"NOTICE: {note}")
        if failures:
            failures.append(f"({note})")
    return failures


def missing() -> str | None:
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if platform.machine() != "x86_64":
        return f"the table is for x86_64, this is {platform.machine()}"
    # valgrind shows programs a processor of its own, but one with AVX2 only on such a machine.
    if " avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return "the table is for processors with AVX2"
    return None


def main() -> None:
    if why := missing():
        print(f"LEFT OUT: bench-guards: {why}, so instructions were not counted")
        return
    costs = count()
    if sys.argv[1:] == ["--update"]:
        write(costs)
    elif failures := compare(costs):
        sys.exit("\n".join(failures))


main()
