"""Functions are at most 60 lines long, signature and braces included (C++, shell and Python).

usage: function_length.py [PROJECT]
C++ is read without a compiler: comments and literals are blanked out, then braces are matched, and a brace at
namespace or class level after something like a parameter list opens a function.
"""

import ast
import pathlib
import re

import source_tree

LIMIT = 60

LITERALS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s\\]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
SCOPE = re.compile(r"(?:^|[\s>\]])(?:namespace|class|struct|union|enum|extern)\b")
CONSTRUCTOR_LIST = re.compile(r"\)\s*(?:noexcept\s*)?:(?!:)")
QUALIFIERS = ("const", "noexcept", "override", "final", "mutable", "try", "else", "do")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def code_only(text):
    """The same text, line for line, without comments, literals and preprocessor lines."""
    return DIRECTIVE.sub(blank, LITERALS.sub(blank, text))


def kind_of_brace(header):
    """What an opening brace after this text, at namespace or class level, begins: scope, function or value."""
    header = header.strip()
    if header.count("(") > header.count(")") or header.endswith("="):
        return "value"
    if "(" not in header:
        return "scope" if not header or SCOPE.search(header) else "value"
    if re.match(r"(?:template\s*<.*>\s*)?(?:class|struct|union|enum|namespace)\b", header, re.DOTALL):
        return "scope"
    last_word = re.search(r"(\w+)$", header)
    if CONSTRUCTOR_LIST.search(header) and last_word and last_word.group(1) not in QUALIFIERS:
        return "value"
    return "function"


def matching_brace(code, start):
    depth = 0
    for position in range(start, len(code)):
        depth += (code[position] == "{") - (code[position] == "}")
        if depth == 0:
            return position
    return len(code) - 1


def cpp_functions(text):
    """Yields (first line, last line, name) of the functions."""
    code = code_only(text)
    header_start = position = 0
    header = ""
    while position < len(code):
        character = code[position]
        if character == "{":
            kind = kind_of_brace(header)
            if kind == "scope":
                header, header_start = "", position + 1
            else:
                end = matching_brace(code, position)
                if kind == "function":
                    yield place(code, header_start, end, header)
                    header, header_start = "", end + 1
                position = end
        elif character in ";}" or (character == ":" and re.search(r"\b(?:public|private|protected)\s*$", header)):
            header, header_start = "", position + 1
        else:
            header += character
        position += 1


def place(code, header_start, end, header):
    while code[header_start].isspace():
        header_start += 1
    name = re.search(r"([\w:~]+)\s*\(", header)
    return (code.count("\n", 0, header_start) + 1, code.count("\n", 0, end) + 1, name.group(1) if name else "?")


def shell_functions(text):
    name = start = None
    for number, line in enumerate(text.splitlines(), 1):
        begin = re.match(r"([\w-]+)\(\)\s*\{", line)
        if begin and not line.rstrip().endswith("}"):
            name, start = begin.group(1), number
        elif line.startswith("}") and name:
            yield (start, number, name)
            name = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (node.lineno, node.end_lineno, node.name)


def readers(root):
    for path in source_tree.cpp_files(root):
        yield path, cpp_functions
    for folder in ("launch", "slurm", "tests", ".ci"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".sh", ".sbatch") or path.parent.name == ".ci":
                yield path, shell_functions
            elif path.suffix == ".py":
                yield path, python_functions


def main():
    root = source_tree.root_from_arguments()
    findings = []
    checked = functions = 0
    for path, read in readers(root):
        checked += 1
        for first, last, name in read(path.read_text(encoding="utf-8")):
            functions += 1
            if last - first + 1 > LIMIT:
                findings.append(f"{path.relative_to(root)}:{first}: {name} has {last - first + 1} lines (limit {LIMIT})")
    print(f"{functions} functions")
    source_tree.finish(findings, checked)


if __name__ == "__main__":
    main()
