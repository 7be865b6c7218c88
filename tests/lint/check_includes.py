"""A module includes only itself and what the ladder in CMakeLists.txt lets it use.

usage: check_includes.py [PROJECT]
Also: a module's private headers (src/NAME/) are its own; spdlog and fmt are for the log module alone (LibTorch brings
another fmt); public headers do not include the headers of all of LibTorch, which take seconds in every file.
"""

import re

import source_tree

MODULE = re.compile(r"^tercet_module\((.*?)\)", re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
HEAVY = {"torch/torch.h", "torch/all.h", "torch/types.h", "ATen/ATen.h", "torch/script.h", "torch/extension.h"}


def read_ladder(cmake_text):
    """Module name -> the modules that it may include, itself among them."""
    ladder = {}
    for arguments in MODULE.findall(cmake_text):
        words = arguments.split()
        uses, keyword = [], None
        for word in words[1:]:
            if word in ("USES", "LINK"):
                keyword = word
            elif keyword == "USES":
                uses.append(word)
        allowed = {words[0]}
        for module in uses:
            if module not in ladder:
                raise SystemExit(f"CMakeLists.txt: {words[0]} uses {module}, which does not stand above it")
            allowed |= ladder[module]
        ladder[words[0]] = allowed
    return ladder


def complaint(include, module, public, ladder):
    """Why this include is wrong in a file of this module, or None."""
    parts = include.split("/")
    if parts[0] in ("spdlog", "fmt") and (module != "log" or public):
        return "spdlog and fmt belong to the sources of the log module alone"
    if public and include in HEAVY:
        return "a public header takes ATen/core/Tensor.h and single ATen/ops headers"
    if parts[0] == "tercet" and len(parts) > 2:
        if parts[1] in ladder and parts[1] not in ladder[module]:
            return f"{module} may use only {', '.join(sorted(ladder[module] - {module})) or 'nothing'}"
    elif parts[0] in ladder and len(parts) > 1 and parts[0] != module:
        return f"that header is private to {parts[0]}"
    return None


def module_of(path, root, ladder):
    """(module, is public) of a file under include/tercet or src; (None, False) for those above the ladder."""
    parts = path.relative_to(root).parts
    public = parts[0] == "include"
    name = parts[2] if public else parts[1]
    return (name, public) if name in ladder else (None, False)


def main():
    root = source_tree.root_from_arguments()
    ladder = read_ladder((root / "CMakeLists.txt").read_text(encoding="utf-8"))
    findings = []
    checked = 0
    for path in source_tree.cpp_files(root, ("include", "src")):
        module, public = module_of(path, root, ladder)
        checked += 1
        if module is None:
            continue
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            reason = complaint(match.group(1), module, public, ladder)
            if reason:
                line = text.count("\n", 0, match.start()) + 1
                findings.append(f"{path.relative_to(root)}:{line}: includes {match.group(1)}; {reason}")
    source_tree.finish(findings, checked)


if __name__ == "__main__":
    main()
