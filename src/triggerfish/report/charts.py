"""The pictures of a report, drawn as small SVG that follows the reader's light or dark mode.

Each function takes plain numbers and returns a `Figure`. Colour is never the only carrier of a
difference: marks have their own shapes, cells their own numbers or frames, lines their own
dashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from triggerfish.errors import BadInput
from triggerfish.report.record import Figure, Number
from triggerfish.visible import one_line

WIDTH = 460
STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#33424d}
.s{font-size:11px;fill:#5b6b76}
.g{stroke:#d9e0e4;stroke-width:1}.x{stroke:#93a3ad;stroke-width:1;fill:none}
.c0{--c:#1b7f8a}.c1{--c:#d4531f}.c2{--c:#6a57c8}.c3{--c:#8a7a18}.c4{--c:#b03a78}.c5{--c:#55636d}
.m{fill:var(--c);fill-opacity:.72}.l{stroke:var(--c);stroke-width:2.2;fill:none}
.w{stroke:var(--c);stroke-width:2}.a{fill:var(--c);fill-opacity:.16}
.n{fill:#eef1f3}.p{fill:#d4531f}.q{fill:#1b7f8a}.k{fill:none;stroke:#1d2a33;stroke-width:2}
@media(prefers-color-scheme:dark){text{fill:#d3dde3}.s{fill:#9fb0ba}.g{stroke:#2c3942}
.x{stroke:#5d6d78}.c0{--c:#4fc1cc}.c1{--c:#ff8a57}.c2{--c:#ab9cf5}.c3{--c:#d8c64a}.c4{--c:#f07fb8}
.c5{--c:#a9b8c2}.n{fill:#1e2930}.p{fill:#ff8a57}.q{fill:#4fc1cc}.k{stroke:#f3f7f9}}
"""
DASHES = ("", "6 4", "2 4", "9 3 2 3", "1 3", "12 5")


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
    left, top, gap = 44, 22, 1.0
    size = min(34.0, (WIDTH - left - 34) / columns)
    known = [abs(v) for line in values for v in line if v is not None]
    peak = max(known, default=0.0) or 1.0
    out = [_text(left, 14, column, "s")]
    of_rows, of_columns = names or (list(map(str, range(rows))), list(map(str, range(columns))))
    for j in _ticks(columns):
        out.append(_text(left + (j + 0.5) * size + 30, 14, of_columns[j], "s", "middle"))
    for i, line in enumerate(values):
        y = top + i * size
        if i in _ticks(rows):
            out.append(_text(left - 8, y + size / 2 + 4, of_rows[i], "s", "end"))
        for j, value in enumerate(line):
            out.append(_cell(left + 30 + j * size, y, size - gap, value, peak))
    for i, j in frames:
        out.append(
            f'<rect class="k" x="{left + 30 + j * size - 0.5:.1f}" y="{top + i * size - 0.5:.1f}"'
            f' width="{size:.1f}" height="{size:.1f}" rx="2"/>'
        )
    bottom = top + rows * size + 26
    out.append(_text(left - 8, top - 8, row, "s", "end"))
    out += _scale(left + 30, bottom - 12, peak, unit, any((v or 0) < 0 for r in values for v in r))
    return _figure(out, bottom + 14, title, caption, alt)


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
    frame = _Frame.around(
        [p[0] for p in points],
        [0.0, 1.0] if percent else [v for _, n in points for v in (n.low, n.high)],
        height,
        list(series),
    )
    if log:
        frame.ticks = [(math.log(place), f"{place:g}") for place in places]
    out = frame.axes(x, y, percent) + _legend(list(series), frame.left, line=True)
    for index, curve in enumerate(series.values()):
        out += [f'<g class="c{index % 6}">', *_curve(frame, curve, index), "</g>"]
    return _figure(out, frame.height, title, caption, alt)


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
    frame = _Frame.around(
        [p[0] for p in points], [p[1] for p in points], height, list(groups), bare=True
    )
    out = frame.axes(x, y, percent=False) + _legend(list(groups), frame.left)
    for index, group in enumerate(groups.values()):
        out.append(f'<g class="c{index % 6}">')
        out += [_mark(frame.at_x(a), frame.at_y(b), index) for a, b in group]
        out.append("</g>")
    return _figure(out, frame.height, title, caption, alt, wide=wide)


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
    left, right, top = 176, WIDTH - 24, 6 + _legend_height(names, 20)
    step = 20 * len(names) + 14
    scale = (right - left) / 1.0
    out = []
    for tick in range(0, 101, 25):
        x = left + tick / 100 * scale
        out.append(_line(x, top - 4, x, top + step * len(rows), "g"))
        out.append(_text(x, top + step * len(rows) + 16, f"{tick} %", "s", "middle"))
    for i, (label, numbers) in enumerate(rows):
        y = top + i * step
        out.append(_text(left - 12, y + step / 2 + 2, one_line(label, 24), "", "end"))
        for name, number in numbers.items():
            k = names.index(name)
            out += _whisker(left, scale, y + 16 + 20 * k, number, k)
    out += _legend(names, 20)
    return _figure(out, top + step * len(rows) + 28, title, caption, alt)


class _Frame:
    """Where values are on the paper."""

    right = WIDTH - 14

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], height: int, top: int, bare: bool
    ) -> None:
        self.x, self.y, self.top, self.bare = x, y, top, bare
        self.left = 20 if bare else 56
        self.height = height + top
        self.bottom = self.height - (20 if bare else 42)
        self.ticks: list[tuple[float, str]] = []

    @classmethod
    def around(
        cls,
        xs: Sequence[float],
        ys: Sequence[float],
        height: int,
        names: Sequence[str],
        bare: bool = False,
    ) -> _Frame:
        top = _legend_height(names, 20 if bare else 56)
        y = (0.0, 1.0) if list(ys) == [0.0, 1.0] else _room(ys, 0.04)
        return cls(_room(xs, 0.03 if bare else 0.0), y, height, top, bare)

    def at_x(self, value: float) -> float:
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        low, high = self.y
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def axes(self, x: str, y: str, percent: bool) -> list[str]:
        labels, out = not self.bare, []
        for k in range(5):
            value = self.y[0] + k / 4 * (self.y[1] - self.y[0])
            height = self.at_y(value)
            out.append(_line(self.left, height, self.right, height, "g"))
            if labels:
                shown = f"{100 * value:.0f} %" if percent else f"{value:.3g}"
                out.append(_text(self.left - 8, height + 4, shown, "s", "end"))
        for value, shown in self.ticks:
            anchor = "end" if value == self.x[1] else "middle"
            out.append(_text(self.at_x(value), self.bottom + 16, shown, "s", anchor))
        if labels and not self.ticks:
            for k in range(5):
                value = self.x[0] + k / 4 * (self.x[1] - self.x[0])
                if self.x[0] == round(self.x[0]) and self.x[1] - self.x[0] >= 4:
                    value = round(value)  # layers and heads are counted
                anchor = "end" if k == 4 else "middle"
                place = self.right if k == 4 else self.at_x(value)
                out.append(_text(place, self.bottom + 16, f"{value:.3g}", "s", anchor))
        out.append(_line(self.left, self.bottom, self.right, self.bottom, "x"))
        out.append(_text((self.left + self.right) / 2, self.height - 6, x, "s", "middle"))
        middle = (self.top + self.bottom) / 2
        turned = f' transform="rotate(-90 12 {middle:.0f})"'
        return [*out, _text(12, middle, y, "s", "middle", turned)]


def _legend_places(names: Sequence[str], left: float) -> list[tuple[float, int]]:
    """Where each name stands: x and row; a name that does not fit begins a row."""
    x, row = left, 0
    places: list[tuple[float, int]] = []
    for name in names:
        width = 46 + 6.8 * len(one_line(name, 44))
        if places and x + width > WIDTH:
            x, row = left, row + 1
        places.append((x, row))
        x += width
    return places


def _legend_height(names: Sequence[str], left: float) -> int:
    return 12 + 20 * (_legend_places(names, left)[-1][1] + 1)


def _legend(names: Sequence[str], left: float, line: bool = False) -> list[str]:
    out = []
    for index, (name, (x, row)) in enumerate(zip(names, _legend_places(names, left), strict=True)):
        y = 10 + 20 * row
        mark = (
            f'<path class="l" stroke-dasharray="{DASHES[index % 6]}" d="M{x:.1f} {y}h22"/>'
            if line
            else _mark(x + 8, y, index, 5)
        )
        shown = _text(x + 28, y + 4, one_line(name, 44))
        out.append(f'<g class="c{index % 6}">{mark}</g>{shown}')
    return out


def _curve(frame: _Frame, curve: Sequence[tuple[float, Number]], index: int) -> list[str]:
    upper = [f"{frame.at_x(x):.1f} {frame.at_y(n.high):.1f}" for x, n in curve]
    lower = [f"{frame.at_x(x):.1f} {frame.at_y(n.low):.1f}" for x, n in reversed(curve)]
    middle = [f"{frame.at_x(x):.1f} {frame.at_y(n.value):.1f}" for x, n in curve]
    marks = [_mark(frame.at_x(x), frame.at_y(n.value), index, 3.4) for x, n in curve]
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
        _line(low, y, high, y, "w"),
        _line(low, y - 4, low, y + 4, "w"),
        _line(high, y - 4, high, y + 4, "w"),
        _mark(value, y, index, 5),
        "</g>",
    ]


def _mark(x: float, y: float, index: int, r: float = 3.2) -> str:
    """A disc, a diamond, a square or a triangle, by index."""
    shape = index % 4
    if shape == 0:
        return f'<circle class="m" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    if shape == 1:
        d = f"M{x:.1f} {y - r * 1.25:.1f}l{r * 1.25} {r * 1.25}l{-r * 1.25} {r * 1.25}"
        return f'<path class="m" d="{d}l{-r * 1.25} {-r * 1.25}z"/>'
    if shape == 2:
        return f'<rect class="m" x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"/>'
    return f'<path class="m" d="M{x:.1f} {y - r:.1f}l{r} {2 * r}h{-2 * r}z"/>'


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
    out.append(_text(x + 38, y + 12, low, "s", "end"))
    out.append(_text(x + 50 + 9 * size, y + 12, f"{peak:.2g} {unit}".strip(), "s"))
    return out


def _ticks(count: int) -> range:
    return range(0, count, 1 if count <= 16 else math.ceil(count / 8))


def _room(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadInput("a chart", "has a number that is not finite", "look for NaN in the data")
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = (high - low) * share
    return low - room, high + room


def _text(
    x: float, y: float, text: str, kind: str = "", anchor: str = "start", more: str = ""
) -> str:
    shown = escape(one_line(text, 60))
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{shown}</text>'
    )


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _figure(
    parts: Sequence[str], height: float, title: str, caption: str, alt: str, wide: bool = True
) -> Figure:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {math.ceil(height)}"'
        f' width="{WIDTH}" height="{math.ceil(height)}"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>"
    )
    return Figure(title=title, caption=caption, alt=alt, svg=svg, wide=wide)
