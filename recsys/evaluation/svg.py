"""The look of all plots, and a figure as SVG to put inline into a page of `recsys.evaluation.page`.

Text, lines and backgrounds (CARD) take the page's colours (`currentColor`, `--line`, `--card`), so the plots fit light
and dark themes.
"""

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

BLUE, ORANGE, TEAL, GREY = "#4a86e8", "#f0883e", "#2fa884", "#8b949e"
_INK, _LINE, CARD = "#010203", "#040506", "#070809"  # stand-ins, replaced by the page's colours
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a name is a dollar
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an `<svg>` element that scales with the page and shares no id with another plot."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    width, height = 72 * figure.get_size_inches()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", body)
    body = body.replace(_INK, "currentColor").replace(_LINE, "var(--line)").replace(CARD, "var(--card)")
    head = f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}" '
    return f'{head}style="max-width: {1.5 * width:.0f}px">{body.strip()}'
