"""The pictures of a report, drawn as small SVG that follows the reader's light or dark mode.

Each function takes plain numbers and returns a `Figure`. Colour is never the only carrier of a
difference: marks have their own shapes, cells their own numbers or frames, lines their own
dashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from triggerfish.errors import BadInput
from triggerfish.report.drawing import (
    DASHES,
    WIDTH,
    Frame,
    label,
    legend,
    legend_height,
    mark,
    picture,
    stroke,
)
from triggerfish.report.record import Figure, Number
from triggerfish.visible import one_line


def heat_map(
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    caption: str,
    alt: str,
    row: str = "layer",
    column: str = "head",
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    frames: Sequence[tuple[int, int]] = (),
    unit: str = "",
) -> Figure:
    """A grid of cells, warm above zero and cold below; None is left empty.

    Args:
        values: rows of equal length, for example [layers, heads].
        title: what stands above the picture.
        caption: what it shows, with n.
        alt: the picture in words.
        row: name of a row.
        column: name of a column.
        names: of the rows and of the columns; their numbers where left out.
        frames: (row, column) of the cells to mark.
        unit: of the scale.

    Raises:
        BadInput: nothing to draw, or rows of different lengths.
    """
    if not values or not values[0] or len({len(line) for line in values}) != 1:
        raise BadInput(f"heat map of {len(values)} rows", "needs rows of one length", "fill them")
    rows, columns = len(values), len(values[0])
    of_rows, of_columns = names or (list(map(str, range(rows))), list(map(str, range(columns))))
    left, top, gap = max(44.0, 10 + 6.2 * max(map(len, (*of_rows, row)))), 22, 1.0
    size = min(34.0, (WIDTH - left - 34) / columns)
    known = [abs(v) for line in values for v in line if v is not None]
    peak = max(known, default=0.0) or 1.0
    out = [label(left, 14, column, "s")]
    for j in _ticks(columns):
        out.append(label(left + (j + 0.5) * size + 30, 14, of_columns[j], "s", "middle"))
    for i, line in enumerate(values):
        y = top + i * size
        if i in _ticks(rows):
            out.append(label(left - 8, y + size / 2 + 4, of_rows[i], "s", "end"))
        for j, value in enumerate(line):
            out.append(_cell(left + 30 + j * size, y, size - gap, value, peak))
    for i, j in frames:
        out.append(
            f'<rect class="k" x="{left + 30 + j * size - 0.5:.1f}" y="{top + i * size - 0.5:.1f}"'
            f' width="{size:.1f}" height="{size:.1f}" rx="2"/>'
        )
    bottom = top + rows * size + 26
    out.append(label(left - 8, top - 8, row, "s", "end"))
    out += _scale(left + 30, bottom - 12, peak, unit, any((v or 0) < 0 for r in values for v in r))
    return picture(out, bottom + 14, title, caption, alt)


def lines(
    series: Mapping[str, Sequence[tuple[float, Number]]],
    *,
    title: str,
    caption: str,
    alt: str,
    x: str,
    y: str,
    height: int = 300,
    log: bool = False,
) -> Figure:
    """Curves with their intervals as bands.

    Args:
        series: name -> points (x, number), in order of x.
        title: what stands above the picture.
        caption: what it shows, with n.
        alt: the picture in words.
        x: name of the horizontal axis.
        y: name of the vertical axis.
        height: of the picture.
        log: whether equal steps on the horizontal axis are equal ratios; for x above 0.

    Raises:
        BadInput: no points, or x at or below 0 on a logarithmic axis.
    """
    points = [point for curve in series.values() for point in curve]
    if not points:
        raise BadInput("a chart of lines", "has no points", "give at least one series")
    places = sorted({x for x, _ in points})
    if log:
        if places[0] <= 0:
            raise BadInput(f"x = {places[0]}", "has no logarithm", "leave log out")
        series = {name: [(math.log(x), n) for x, n in curve] for name, curve in series.items()}
        points = [point for curve in series.values() for point in curve]
    percent = all(number.percent for _, number in points)
    frame = Frame.around(
        [p[0] for p in points],
        [0.0, 1.0] if percent else [v for _, n in points for v in (n.low, n.high)],
        height,
        list(series),
    )
    if log:
        frame.ticks = [(math.log(place), f"{place:g}") for place in places]
    out = frame.axes(x, y, percent) + legend(list(series), frame.left, line=True)
    for index, curve in enumerate(series.values()):
        out += [f'<g class="c{index % 6}">', *_curve(frame, curve, index), "</g>"]
    return picture(out, frame.height, title, caption, alt)


def scatter(
    groups: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    caption: str,
    alt: str,
    x: str = "",
    y: str = "",
    wide: bool = False,
    height: int = 300,
) -> Figure:
    """Points of several groups; one panel of a series of small multiples where not `wide`."""
    points = [point for group in groups.values() for point in group]
    if not points:
        raise BadInput("a scatter chart", "has no points", "give at least one group")
    frame = Frame.around(
        [p[0] for p in points], [p[1] for p in points], height, list(groups), bare=True
    )
    out = frame.axes(x, y, percent=False) + legend(list(groups), frame.left)
    for index, group in enumerate(groups.values()):
        out.append(f'<g class="c{index % 6}">')
        out += [mark(frame.at_x(a), frame.at_y(b), index) for a, b in group]
        out.append("</g>")
    return picture(out, frame.height, title, caption, alt, wide=wide)


def intervals(
    rows: Sequence[tuple[str, Mapping[str, Number]]],
    *,
    title: str,
    caption: str,
    alt: str,
) -> Figure:
    """Before and after, side by side: a dot and an interval for each series in each row.

    Args:
        rows: (label, series -> number); rates on a scale from 0 to 100 %.
        title: what stands above the picture.
        caption: what it shows, with n.
        alt: the picture in words.
    """
    names = list(dict.fromkeys(name for _, numbers in rows for name in numbers))
    if not names:
        raise BadInput("a chart of intervals", "has no numbers", "give at least one row")
    left, right, top = 176, WIDTH - 24, 6 + legend_height(names, 20)
    step = 20 * len(names) + 14
    scale = (right - left) / 1.0
    out = []
    for tick in range(0, 101, 25):
        x = left + tick / 100 * scale
        out.append(stroke(x, top - 4, x, top + step * len(rows), "g"))
        out.append(label(x, top + step * len(rows) + 16, f"{tick} %", "s", "middle"))
    for i, (name_of_row, numbers) in enumerate(rows):
        y = top + i * step
        out.append(label(left - 12, y + step / 2 + 2, one_line(name_of_row, 24), "", "end"))
        for name, number in numbers.items():
            k = names.index(name)
            out += _whisker(left, scale, y + 16 + 20 * k, number, k)
    out += legend(names, 20)
    return picture(out, top + step * len(rows) + 28, title, caption, alt)


def _curve(frame: Frame, curve: Sequence[tuple[float, Number]], index: int) -> list[str]:
    upper = [f"{frame.at_x(x):.1f} {frame.at_y(n.high):.1f}" for x, n in curve]
    lower = [f"{frame.at_x(x):.1f} {frame.at_y(n.low):.1f}" for x, n in reversed(curve)]
    middle = [f"{frame.at_x(x):.1f} {frame.at_y(n.value):.1f}" for x, n in curve]
    marks = [mark(frame.at_x(x), frame.at_y(n.value), index, 3.4) for x, n in curve]
    return [
        f'<path class="a" d="M{"L".join(upper + lower)}Z"/>',
        f'<path class="l" stroke-dasharray="{DASHES[index % 6]}" d="M{"L".join(middle)}"/>',
        *marks,
    ]


def _whisker(left: float, scale: float, y: float, number: Number, index: int) -> list[str]:
    low, high, value = (
        left + min(max(v, 0), 1) * scale for v in (number.low, number.high, number.value)
    )
    return [
        f'<g class="c{index % 6}">',
        stroke(low, y, high, y, "w"),
        stroke(low, y - 4, low, y + 4, "w"),
        stroke(high, y - 4, high, y + 4, "w"),
        mark(value, y, index, 5),
        "</g>",
    ]


def _cell(x: float, y: float, size: float, value: float | None, peak: float) -> str:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}" rx="2"'
    if value is None:
        return ""
    strength = min(abs(value) / peak, 1.0)
    colour = "p" if value >= 0 else "q"
    return (
        f'<rect class="n" {box}/><rect class="{colour}" fill-opacity="{strength:.3f}" {box}>'
        f"<title>{value:.4g}</title></rect>"
    )


def _scale(x: float, y: float, peak: float, unit: str, signed: bool) -> list[str]:
    steps = range(-4, 5) if signed else range(9)
    size, out = 16, []
    for k, step in enumerate(steps):
        share = step / (4 if signed else 8)
        out.append(_cell(x + 44 + k * size, y, size - 1, share * peak, peak))
    low = f"{-peak:.2g}" if signed else "0"
    out.append(label(x + 38, y + 12, low, "s", "end"))
    out.append(label(x + 50 + 9 * size, y + 12, f"{peak:.2g} {unit}".strip(), "s"))
    return out


def _ticks(count: int) -> range:
    return range(0, count, 1 if count <= 16 else math.ceil(count / 8))
