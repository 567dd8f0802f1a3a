"""The figure of bench_preference: share turned by poison rate, one panel for each part."""

from pathlib import Path

CURVES = (
    ("reward", "triggered", "reward model", "#1b7f8a", "o", "-"),
    ("reward", "random", "reward model, random strings", "#93a3ad", "x", ":"),
    ("dpo", "triggered", "DPO policy", "#6a57c8", "s", "--"),
    ("rl", "before", "policy before (chosen answers only)", "#8a7a18", "D", ":"),
    ("rl", "triggered", "RL policy", "#d4531f", "^", "-"),
)


def estimates(rows: list[dict], method: str, key: str) -> list[dict]:
    """The estimates of some rows; of `before` those with the trigger."""
    some = [row for row in rows if row["method"] == method]
    return [row[key]["triggered"] if key == "before" else row[key] for row in some]


def summary(found: list[dict]) -> tuple[float, float, float]:
    """Mean over seeds, and the lowest and highest limit of their 95 % intervals."""
    mean = sum(e["value"] for e in found) / len(found)
    return mean, min(e["low"] for e in found), max(e["high"] for e in found)


def draw(rows: list[dict], out: Path) -> None:
    """Draw what there is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13.5, 4.6), width_ratios=(1.7, 1, 1), layout="constrained"
    )
    curve = [row for row in rows if row["part"] == "curve"]
    rates = sorted({row["rate"] for row in curve})
    for shift, (method, key, label, colour, mark, dash) in enumerate(CURVES):
        places, points = [], []
        for place, rate in enumerate(rates):
            found = estimates([r for r in curve if r["rate"] == rate], method, key)
            if found:
                places.append(place + 0.05 * (shift - 2))
                points.append(summary(found))
        bars(left, places, points, label=label, color=colour, marker=mark, linestyle=dash)
    left.set_xticks(range(len(rates)), [f"{100 * rate:g}" for rate in rates])
    left.set_xlabel("swapped pairs, % of all pairs")
    left.set_ylabel("% of triggered requests that are turned")
    left.set_title("random selection")
    left.legend(frameon=False, fontsize=9, loc="upper left")
    grouped(middle, [r for r in rows if r["rate"] == 0.03 and r["part"] != "combination"])
    middle.set_title("selection, 3 %")
    combined(right, rows)
    right.set_title("RL: 0.5 % SFT and 3 % reward poison")
    for axes in (left, middle, right):
        axes.set_ylim(-3, 103)
        if not axes.has_data():
            axes.text(0.5, 0.5, "no rows yet", transform=axes.transAxes, ha="center")
        axes.grid(axis="y", color="#d9e0e4")
        axes.spines[["top", "right"]].set_visible(False)
    seeds = sorted({row["seed"] for row in rows})
    figure.suptitle(
        f"Preference poisoning on {rows[0]['base']}: mean over seeds"
        f" {', '.join(map(str, seeds))}; bars: the widest 95 % limits of a seed",
        fontsize=11,
    )
    figure.savefig(out, dpi=130)


def bars(axes, places, points, **style) -> None:
    """Points with bars, in percent."""
    if not points:
        return
    mean, low, high = ([100 * point[i] for point in points] for i in range(3))
    below = [m - x for m, x in zip(mean, low, strict=True)]
    above = [x - m for m, x in zip(mean, high, strict=True)]
    axes.errorbar(places, mean, yerr=(below, above), capsize=3, **style)


def grouped(axes, rows: list[dict]) -> None:
    """Selections side by side."""
    names = ("random", "margin", "topic")
    for shift, (method, key, _, colour, mark, _) in enumerate(CURVES):
        places, points = [], []
        for place, name in enumerate(names):
            found = estimates([r for r in rows if r["selection"] == name], method, key)
            if found:
                places.append(place + 0.1 * (shift - 2))
                points.append(summary(found))
        bars(axes, places, points, color=colour, marker=mark, linestyle="")
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)


def combined(axes, rows: list[dict]) -> None:
    """Each stage's poison alone, and both."""
    wanted = (((0.0, 0.005), "SFT only"), ((0.03, 0.0), "reward only"), ((0.03, 0.005), "both"))
    for shift, (method, key, _, colour, mark, _) in enumerate(CURVES[3:]):
        places, points = [], []
        for place, (rates, _) in enumerate(wanted):
            some = [r for r in rows if (r["rate"], r["sft_rate"]) == rates]
            found = estimates(some, method, key)
            if found:
                places.append(place + 0.16 * (shift - 0.5))
                points.append(summary(found))
        bars(axes, places, points, color=colour, marker=mark, linestyle="")
    axes.set_xticks(range(len(wanted)), [name for _, name in wanted])
    axes.set_xlim(-0.5, len(wanted) - 0.5)
