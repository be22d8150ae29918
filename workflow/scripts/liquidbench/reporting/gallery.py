"""Figures written as SVG and, if wanted, PNG files, with a page and a file that list them and those left out."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from liquidbench.files import write_text, written_whole
from liquidbench.reporting.figure_names import LISTING, OWN_FILES
from liquidbench.reporting.rounded_svg import rounded_svg

PNG_DPI = 150
# Of pictures inside an SVG file.
SVG_IMAGE_DPI = 100


@dataclass
class Gallery:
    """The figures of one folder: (name, title, caption) drawn, and (name, reason) left out.

    `png`: whether there are PNG files beside the SVG files.
    """

    folder: Path
    png: bool = True
    entries: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, figure: Figure, title: str, caption: str) -> None:
        """Write `<name>.svg` and, if wanted, `<name>.png` (150 dpi), and close the figure.

        The SVG holds no date, so the same figure gives the same bytes.
        """
        # By the canvases themselves: `savefig` draws each file twice, and a figure of many panels takes a second.
        figure.set_dpi(PNG_DPI)
        canvas = FigureCanvasAgg(figure)
        # Laid out once, and always by this canvas, so that the SVG file is the same with a PNG file beside it or not.
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")
        if self.png:
            with written_whole(self.folder / f"{name}.png") as path:
                canvas.print_png(path)
        figure.set_dpi(SVG_IMAGE_DPI)
        drawn = io.StringIO()
        FigureCanvasSVG(figure).print_svg(drawn, metadata={"Date": None})
        write_text(self.folder / f"{name}.svg", rounded_svg(drawn.getvalue()))
        plt.close(figure)
        self.entries.append((name, title, caption))

    def leave_out(self, name: str, reason: str) -> None:
        """Note a figure that cannot be drawn, and why."""
        self.left_out.append((name, reason))

    def copy(self, folder: Path) -> None:
        """Write the SVG files that were drawn into another folder, too."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, _, _ in self.entries:
            with written_whole(folder / f"{name}.svg") as path:
                path.write_bytes((self.folder / f"{name}.svg").read_bytes())

    def finish(self, heading: str, warning: str) -> None:
        """Write `index.md`, and remove figures of an earlier state that it does not list.

        Args:
            heading: of the page.
            warning: what must be read first; may be empty.
        """
        suffixes = (".svg", ".png") if self.png else (".svg",)
        written = {f"{name}{suffix}" for name, _, _ in self.entries for suffix in suffixes}
        for path in sorted(self.folder.iterdir()):
            if OWN_FILES.fullmatch(path.name) and path.name not in written:
                path.unlink()
        parts = [f"# {heading}\n"] + ([warning] if warning else [])
        for name, title, caption in self.entries:
            links = ", ".join(f"[{name}{suffix}]({name}{suffix})" for suffix in suffixes)
            parts.append(f"## {title}\n\n![{title}]({name}.svg)\n\n{caption}\n\nFiles: {links}\n")
        if self.left_out:
            lines = [f"- `{name}`: {reason}" for name, reason in self.left_out]
            parts.append("## Left out\n\n" + "\n".join(lines) + "\n")
        write_text(self.folder / "index.md", "\n".join(parts))
        listing = {
            "png": self.png,
            "figures": [{"name": n, "title": t, "caption": c} for n, t, c in self.entries],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }
        write_text(self.folder / LISTING, json.dumps(listing, indent=1, ensure_ascii=False) + "\n")
