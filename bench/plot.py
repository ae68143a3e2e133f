"""The picture: for each language and kind of work, longwire's bars above its peers'."""

from __future__ import annotations

import pathlib
from statistics import median

import matplotlib as mpl

mpl.use("svg")

import figures
from clients import CLIENTS, RAW
from figures import Results
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from workloads import is_round_trip

OURS, PEERS, TEXT = "#d9480f", "#adb5bd", "#343a40"
LANGUAGES = ("C", "Python", "Node")
#: Workload, title, unit, what a message counts for.
ROWS = (
    ("round trip 64 B", "Round trip of 64 bytes", "µs above a raw socket (less is better)", 1.0),
    ("flood 64 B", "Receiving messages of 64 bytes", "million messages/s", 1e-6),
    ("flood 1 MB", "Receiving messages of 1 MB", "GB/s", 1e-3),
    ("sink 64 B", "Sending messages of 64 bytes", "million messages/s", 1e-6),
    ("sink 1 MB", "Sending messages of 1 MB", "GB/s", 1e-3),
)


def _bars(
    language: str, name: str, scale: float, results: Results
) -> list[tuple[str, float, bool]]:
    records = results.get(name, {})
    workload = figures.BY_NAME[name]
    bars = []
    for client in CLIENTS:
        mine = records.get(client.name)
        if not mine or client.language != language or client == RAW or client.loop != "asyncio":
            continue
        value = (
            figures.above_raw(workload, client.name, results)
            if is_round_trip(workload)
            else median(map(figures.rate, mine)) * scale
        )
        bars.append((client.name, value, client.ours))
    return bars


def _panel(axes: Axes, bars: list[tuple[str, float, bool]], unit: str) -> None:
    places = range(len(bars), 0, -1)
    values = [value for _, value, _ in bars]
    axes.barh(places, values, color=[OURS if ours else PEERS for *_, ours in bars], height=0.72)
    axes.set_yticks(places, [name for name, *_ in bars])
    for label, (*_, ours) in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight("bold" if ours else "normal")
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.3g}", va="center", color=TEXT, fontsize=8)
    axes.set_xlim(0, max(values) * 1.18)
    axes.set_xlabel(unit, fontsize=8, color=TEXT)
    axes.tick_params(colors=TEXT, labelsize=8, length=0)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(PEERS)


def draw(results: Results, path: pathlib.Path) -> None:
    """Writes the picture."""
    # Text stays text, and the same results make the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "longwire"})
    mpl.rcParams["font.family"] = "sans-serif"
    rows = [row for row in ROWS if results.get(row[0])]
    figure, grid = plt.subplots(
        len(rows),
        len(LANGUAGES),
        figsize=(13, 2.3 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    figure.patch.set_facecolor("white")
    for line, (name, title, unit, scale) in zip(grid, rows, strict=True):
        for axes, language in zip(line, LANGUAGES, strict=True):
            bars = _bars(language, name, scale, results)
            if not bars:
                axes.set_visible(False)
                continue
            _panel(axes, bars, unit)
            axes.set_title(
                f"{language}: {title}", loc="left", fontsize=9, color=TEXT, fontweight="bold"
            )
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
