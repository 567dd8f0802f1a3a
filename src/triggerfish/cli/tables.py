"""Plain tables for a terminal."""

from collections.abc import Sequence

from triggerfish.visible import one_line


def as_text(rows: Sequence[Sequence[str]], *, indent: int = 2) -> str:
    """Rows as aligned columns; hidden characters are made visible.

    >>> print(as_text([["a", "longer"], ["bcd", "x"]]))
      a    longer
      bcd  x
    """
    clean = [[one_line(cell, 100) for cell in row] for row in rows]
    columns = max((len(row) for row in clean), default=0)
    widths = [max((len(row[k]) for row in clean if k < len(row)), default=0)
              for k in range(columns)]  # fmt: skip
    lines = (
        "  ".join(cell.ljust(widths[k]) for k, cell in enumerate(row)).rstrip() for row in clean
    )
    return "\n".join(" " * indent + line for line in lines)
