"""The man page, and docs/commands.md, which are made from the command line itself."""

import os
import re
import shutil
import subprocess

from driving import PROJECT, Skipped, check, check_equal, main

from completion import options_of_commands

LINTERS = {"groff": ["groff", "-man", "-ww", "-z", "-Tutf8"], "mandoc": ["mandoc", "-T", "lint", "-W", "warning"]}


def page_file(shop):
    file = shop.folder / "tercet.1"
    file.write_text(shop.run("man", ranks=0).must_end_with(0).out, encoding="utf-8")
    return file


def the_man_page_has_every_command_and_option(shop):
    text = page_file(shop).read_text(encoding="utf-8").replace("\\-", "-")
    sections = {part.partition("\n")[0]: part for part in text.split("\n.SS ")[1:]}
    commands = options_of_commands(shop)
    check_equal(set(sections), set(commands), "commands of the man page")
    for name, options in commands.items():
        found = set(re.findall(r"\\fB(--[a-z][a-z-]*)\\fR", sections[name]))
        check_equal(options - found, set(), f"options of {name} that the man page lacks")
        check("For example" in sections[name], f"no example for {name}")
    for code in (0, 3, 64, 65, 70, 74, 75):
        check(f"\\fB{code}\\fR" in text.partition("EXIT STATUS")[2], f"exit code {code} is missing")


def programs_that_read_man_pages_have_nothing_to_say_of_it(shop):
    there = {name: command for name, command in LINTERS.items() if shutil.which(name)}
    if not there:
        raise Skipped("neither groff nor mandoc is on this machine")
    for name, command in there.items():
        done = subprocess.run([*command, page_file(shop)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check((done.returncode, done.stdout) == (0, ""), f"{name} ends with {done.returncode}: {done.stdout}")


def the_page_of_commands_is_up_to_date(shop):
    page = PROJECT / "docs" / "commands.md"
    made = shop.run("man", "--markdown", ranks=0).must_end_with(0).out
    if os.environ.get("TERCET_UPDATE_DOCS"):
        page.write_text(made, encoding="utf-8")
    check(page.read_text(encoding="utf-8") == made,
          "docs/commands.md is stale; TERCET_UPDATE_DOCS=1 ctest --test-dir build/release -R e2e.man_page writes it again")


if __name__ == "__main__":
    main([the_man_page_has_every_command_and_option, programs_that_read_man_pages_have_nothing_to_say_of_it,
          the_page_of_commands_is_up_to_date])
