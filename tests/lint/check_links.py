"""Every relative link in a Markdown page leads to a file that is there, and every anchor to a heading of its page.

usage: check_links.py [PROJECT]
"""

import os
import re

import source_tree

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def pages(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in source_tree.IGNORED and name[0] != ".")
        yield from (root.joinpath(folder, name) for name in sorted(names) if name.endswith(".md"))


def without_code(text):
    """Blocks and spans of code hold no links; their lines stay, so that numbers of lines do."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
            line = ""
        lines.append("" if fenced else re.sub(r"`[^`]*`", "", line))
    return lines


def anchors_of(text):
    """As GitHub makes them: lower case, punctuation gone, spaces become dashes, the second of a name gets -1."""
    found, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        heading = None if fenced else re.match(r"#{1,6} (.*)", line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            again = found.count(anchor)
            found.append(f"{anchor}-{again}" if again else anchor)
    return set(found)


def findings_in(page, text, read):
    """`read` gives the text of a page, "" for another file, and None for what is not there."""
    for number, line in enumerate(without_code(text), 1):
        for match in LINK.finditer(line):
            target, _, anchor = (match[1] or match[2]).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            other = (page.parent / target) if target else page
            content = text if not target else read(other)
            if content is None:
                yield f"{page}:{number}: leads nowhere ({match[1] or match[2]})"
            elif anchor and anchor not in anchors_of(content):
                yield f"{page}:{number}: no such heading ({match[1] or match[2]})"


def read_page(path):
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else ""


def main():
    root = source_tree.root_from_arguments()
    all_pages = list(pages(root))
    findings = [finding for page in all_pages for finding in findings_in(page, page.read_text(encoding="utf-8"), read_page)]
    source_tree.finish(findings, len(all_pages))


if __name__ == "__main__":
    main()
