"""The documentation as tests read it: its pages, and the fenced blocks in them.

What a block is for stands behind its fence:

    ```sh                            commands, which docs.commands runs in the order of the page
    ```sh no-run REASON              commands that cannot run in a test; REASON is a word of NOT_RUN
    ```yaml                          a configuration or a part of one; beginning with `# NAME.yaml`, that file
    ```python                        a program
    ```text                          anything else
    ```text rows: COMMAND            what COMMAND shows: its output must have the same headings and first words of lines
    ```text columns: COMMAND         the same of the headings alone
"""

import collections
import pathlib
import re

PROJECT = pathlib.Path(__file__).resolve().parents[2]
LANGUAGES = ("sh", "yaml", "python", "text", "cpp")
NOT_RUN = {
    "installs": "changes the machine, or fetches much; continuous integration starts with it",
    "builds": "compiles for minutes",
    "slurm": "needs a Slurm; tests/slurm submits the same scripts to one of its own",
    "measures": "takes minutes of an idle machine or a GPU",
    "elsewhere": "is typed on another machine, or talks to one",
}

Block = collections.namedtuple("Block", "language about first lines")  # first: number of the line behind the fence


def all_pages():
    """README.md first, then the docs by name."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def blocks_of(text):
    found, fence = [], None
    for number, line in enumerate(text.splitlines(), 1):
        begin = re.match(r"\s*```(.*)$", line)
        if begin and fence is None:
            language, _, about = begin[1].strip().partition(" ")
            fence = Block(language, about.strip(), number + 1, [])
        elif begin:
            found.append(fence)
            fence = None
        elif fence is not None:
            fence.lines.append(line)
    return found


def in_place(blocks):
    """The blocks as one program in which every line has the number that it has in the page."""
    lines = []
    for block in blocks:
        lines += [""] * (block.first - 1 - len(lines)) + block.lines
    return "\n".join(lines) + "\n"


def mistakes_in(blocks):
    for block in blocks:
        if block.language not in LANGUAGES:
            yield f"line {block.first - 1}: a block of '{block.language}'; say what it is ({', '.join(LANGUAGES)})"
        elif block.language == "sh" and block.about and not (block.about.startswith("no-run ") and
                                                             block.about.split()[1:] in [[reason] for reason in NOT_RUN]):
            yield f"line {block.first - 1}: 'sh {block.about}'; a reason not to run it is one of {', '.join(NOT_RUN)}"
        elif block.language == "text" and block.about and not re.match(r"(rows|columns): \S", block.about):
            yield f"line {block.first - 1}: 'text {block.about}'; wants rows: or columns: and a command"


def inline_code(text):
    """(line number, code) of what stands between single backticks outside of blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", line):
                yield number, code.replace("\\|", "|")
