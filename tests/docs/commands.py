"""What the documentation tells people to type works: every command is run, every configuration is read, every program in
Python is started, and every option and key that is mentioned exists."""

import functools
import re

from driving import Skipped, check, main, test_python
from pages import PROJECT, all_pages, blocks_of, in_place, inline_code, mistakes_in
from workplace import Workplace

# Pages that make `runs/mine` themselves; the others find it there.
MAKES_THE_RUN = {"README.md", "docs/tutorial.md"}
# The status of a command that fails does not tell which one it was.
PROLOGUE = 'set -eEuo pipefail; trap \'echo "line $LINENO ended with $?: $BASH_COMMAND" >&2\' ERR; source "$1"'
NAMES_OF_FILES = (".yaml", ".md", ".html", ".json", ".jsonl", ".h5", ".safetensors", ".gguf")
NAMES_OF_KEYS = re.compile(r"[a-z_]+(\.[a-z_]+)+")


@functools.lru_cache(1)
def workplace(shop):
    return Workplace(shop)


def name_of(page):
    return str(page.relative_to(PROJECT))


def run_shell(work, page, blocks):
    script = work.folder / "page.sh"
    script.write_text(in_place(blocks), encoding="utf-8")
    code, _, said = work.run(["bash", "-c", PROLOGUE, "page", "./page.sh"])
    check(code == 0, f"{name_of(page)}: the commands ended with {code}\n{said[-3000:]}")


def run_python(work, page, blocks):
    script = work.folder / "page.py"
    script.write_text(in_place(blocks), encoding="utf-8")
    code, _, said = work.run([str(test_python()), "page.py"])
    check(code == 0, f"{name_of(page)}: the Python ended with {code}\n{said[-3000:]}")


def load_configuration(work, page, block):
    text = "\n".join(block.lines) + "\n"
    # Beside the recipes, which a configuration may name.
    (work.folder / "configs" / "page.yaml").write_text(text, encoding="utf-8")
    (work.folder / "page.yaml").write_text(text, encoding="utf-8")
    is_study = re.search(r"^(rows|vary):", text, re.MULTILINE)
    if re.search(r"^models:", text, re.MULTILINE):
        command = ["tercet", "family", "page.yaml", "--list"]
    elif is_study:
        command = ["tercet", "study", "configs/page.yaml", "--summary", "--set", "model.path=models/my-model"]
    else:
        command = ["tercet", "plan", "page.yaml", "--set", "model.path=models/my-model", "--set", "output=runs/checked"]
        # That plan measures, the pages' own commands show.
        command += ["--step-seconds", "1", "--bandwidth-gbps", "10", "--latency-us", "5", "--disk-mb-s", "100"]
        if "sources:" not in text:
            command += ["--set", "data.sources=[text/*.txt]"]
    code, _, said = work.run(command)
    # The summary of a study says by its code that its jobs have not run.
    check(code == 0 or (is_study and code not in (64, 65)),
          f"{name_of(page)}, line {block.first}: the configuration is refused\n{said[-3000:]}")


def words_of(line):
    """The cells of a line of a table: two spaces part them."""
    return [cell for cell in re.split(r"\s{2,}", line.strip()) if cell]


def shown_words(lines, with_rows):
    for line, following in zip(lines, lines[1:] + [""]):
        if re.fullmatch(r"[-\s]*-[-\s]*", line):
            continue
        heading = following.startswith("---")
        if heading:
            yield from words_of(line)
        elif with_rows and line and not line[0].isspace():
            yield words_of(line)[0]


def compare_shown(work, page, block):
    kind, _, command = block.about.partition(": ")
    code, out, said = work.run(["bash", "-c", command])
    check(code == 0, f"{name_of(page)}, line {block.first}: `{command}` ended with {code}\n{said[-3000:]}")
    for words in shown_words(block.lines, kind == "rows"):
        check(words in out, f"{name_of(page)}, line {block.first}: `{command}` does not show {words!r} but\n{out}")


def the_page_works(page, shop):
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    of = {language: [b for b in blocks if b.language == language] for language in ("sh", "yaml", "python", "text")}
    commands = [block for block in of["sh"] if not block.about]
    shown = [block for block in of["text"] if block.about]
    if not commands and not of["yaml"] and not of["python"] and not shown:
        return
    work = workplace(shop)
    work.begin(page, with_run=name_of(page) not in MAKES_THE_RUN)
    if commands:
        run_shell(work, page, commands)
    for block in of["yaml"]:
        load_configuration(work, page, block)
    for block in shown:
        compare_shown(work, page, block)
    if of["python"]:
        run_python(work, page, of["python"])


def page_tests():
    """One test for each page, so that a page is named where it fails."""
    for page in all_pages():
        if any(b.language in ("sh", "yaml", "python", "text") for b in blocks_of(page.read_text(encoding="utf-8"))):
            test = functools.partial(the_page_works, page)
            test.__name__ = "the commands work of " + name_of(page)
            yield test


def every_block_says_what_it_is(shop):
    found = [f"{name_of(page)}, {mistake}" for page in all_pages()
             for mistake in mistakes_in(blocks_of(page.read_text(encoding="utf-8")))]
    check(not found, "\n".join(found))


def every_option_that_is_mentioned_exists(shop):
    reference = shop.run("man", "--markdown", ranks=0).must_end_with(0).out
    known = {section.partition("\n")[0]: set(re.findall(r"--[a-z][a-z-]*", section)) | {"--help"}
             for section in reference.split("\n## ")[1:]}
    found = []
    for page in all_pages():
        for number, code in inline_code(page.read_text(encoding="utf-8")):
            words = re.match(r"tercet ([a-z]+)(.*)", code)
            if not words:
                continue
            unknown = set(re.findall(r"--[a-z][a-z-]*", words[2])) - known.get(words[1], set())
            if words[1] not in known or unknown:
                found.append(f"{name_of(page)}, line {number}: `{code}`")
    check(not found, "no such command or option:\n" + "\n".join(found))


def every_key_that_is_mentioned_exists(shop):
    reference = (PROJECT / "docs" / "config.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `([a-z0-9_.]+)`", reference, re.MULTILINE))
    sections = {key.partition(".")[0] for key in known if "." in key}
    known |= {key.rpartition(".")[0] for key in known if "." in key}
    found = []
    for page in all_pages():
        for number, code in inline_code(page.read_text(encoding="utf-8")):
            key = NAMES_OF_KEYS.match(code)
            if not key or key[0].partition(".")[0] not in sections or not re.fullmatch(r"[a-z_.]+([:=].*)?", code):
                continue
            if key[0] not in known and not key[0].endswith(NAMES_OF_FILES):
                found.append(f"{name_of(page)}, line {number}: `{code}`")
    check(not found, "no such key in docs/config.md:\n" + "\n".join(found))


if __name__ == "__main__":
    main([every_block_says_what_it_is, every_option_that_is_mentioned_exists, every_key_that_is_mentioned_exists,
          *page_tests()])
