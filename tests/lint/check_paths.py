"""No file names a private path of the machine it was written on, such as somebody's home folder.

usage: check_paths.py [PROJECT]
"""

import os
import pathlib
import re

import source_tree

PRIVATE = ("home", "Users", "root")
# A path that begins at the root: nothing before the slash that would make it a relative path, a URL or a variable.
PATTERN = re.compile(r"(?<![\w.$}~/>*])/(?:" + "|".join(PRIVATE) + r")/[\w.]")


def tracked_like(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in source_tree.IGNORED and name[0] != "." or name == ".ci")
        for name in sorted(names):
            yield pathlib.Path(folder) / name


def findings_in(text, name):
    for number, line in enumerate(text.splitlines(), 1):
        match = PATTERN.search(line)
        if match:
            yield f"{name}:{number}: names a private path ({line[match.start():match.start() + 30].strip()}...)"


def main():
    root = source_tree.root_from_arguments()
    own_folder = pathlib.Path(__file__).resolve().parent
    findings = []
    checked = 0
    for path in tracked_like(root):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        checked += 1
        if own_folder not in path.resolve().parents:
            findings.extend(findings_in(text, path.relative_to(root)))
    source_tree.finish(findings, checked)


if __name__ == "__main__":
    main()
