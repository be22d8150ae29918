"""What the documentation holds: its pages, their fenced blocks, and the commands in them."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from workflow_helpers import PROJECT, copy_project

PAGES = ["README.md", "CONTRIBUTING.md", "config/README.md"]
PAGES += sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))
LIBRARY = "workflow/scripts/liquidbench"

_BLOCK = re.compile(
    r"^ *(?:<!-- needs: (?P<needs>[^\n]*?) -->\n *)?```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: its path in the project.
        line: where its first line of text stands.
        language: the word behind the fence.
        needs: what the comment above says that it needs; empty without one.
        text: what is in it, without the page's indentation.
    """

    page: str
    line: int
    language: str
    needs: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines, continued ones joined, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        bare = [re.sub(r"(^| +)# .*$", "", line) for line in lines]
        return [" ".join(line.split()) for line in bare if line.strip()]


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return [
        Block(
            page,
            text[: match.start("text")].count("\n") + 1,
            match["language"],
            match["needs"] or "",
            textwrap.dedent(match["text"]),
        )
        for match in _BLOCK.finditer(text)
    ]


def section(page: str, title: str) -> str:
    """What stands below a title of the second level, up to the next one."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def blocks(text: str, language: str) -> list[str]:
    """The texts of a language's blocks that are not indented."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def register(path: Path, registry: str, lines: str) -> None:
    """Do what a block of an import and an entry says: each line to its place, and nothing else."""
    text = path.read_text(encoding="utf-8")
    for line in filter(str.strip, lines.splitlines()):
        if line.startswith("from "):
            text = re.sub(
                r"^from liquidbench", f"{line}\n\\g<0>", text, count=1, flags=re.MULTILINE
            )
        else:
            assert re.fullmatch(r'    "\w+": \w+(\(\))?,', line), line
            text, done = re.subn(
                rf"^{registry}\b.*{{\n", f"\\g<0>{line}\n", text, flags=re.MULTILINE
            )
            assert done == 1
    path.write_text(text, encoding="utf-8")


def extended_project(folder: Path) -> Path:
    """A copy of the project with the core and the corruption that docs/extending.md works through."""
    project, page = copy_project(folder), "docs/extending.md"
    code, lines = blocks(section(page, "A core, worked through"), "python")
    (project / LIBRARY / "models/leaky.py").write_text(code, encoding="utf-8")
    register(project / LIBRARY / "models/cores.py", "CORES", lines)
    code, lines = blocks(section(page, "A corruption, worked through"), "python")
    corruptions = project / LIBRARY / "evaluation/corruptions.py"
    text = corruptions.read_text(encoding="utf-8")
    corruptions.write_text(text.replace("\nCORRUPTIONS:", f"\n{code}\n\nCORRUPTIONS:", 1))
    register(corruptions, "CORRUPTIONS", lines)
    return project
