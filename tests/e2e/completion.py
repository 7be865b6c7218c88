"""The completion of the command line in real shells, which are typed into through a terminal."""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import time

from driving import Skipped, check, check_equal, main

WAIT_S = 30

# What the shell must be told so that Ctrl-X Ctrl-R writes the line as it stands into $TERCET_LINE, and empties it.
BASH = """PS1='> '; bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items 0'
bind 'set enable-bracketed-paste off'
bind -x '"\\C-x\\C-r": printf %s "$READLINE_LINE" > "$TERCET_LINE"; READLINE_LINE='
source ./completion.bash
"""
ZSH = """PS1='> '; LISTMAX=1000; setopt no_beep; unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D
show() { print -rn -- "$BUFFER" > $TERCET_LINE; BUFFER=; }; zle -N show; bindkey '^X^R' show
source ./completion.zsh
"""
SHELLS = {"bash": (["bash", "--norc", "--noprofile", "-i"], BASH), "zsh": (["zsh", "-f", "-i"], ZSH)}

# What is typed, and what stands there after the tabulator. A space or '=' at the end is the shell's own matter.
TYPED = {
    "tercet verif": "tercet verify",
    "tercet --vers": "tercet --version",
    "tercet plan my.yaml --wor": "tercet plan my.yaml --world-size",
    "tercet report some-run --csv lay": "tercet report some-run --csv layers",
    "tercet report some-run --csv=lay": "tercet report some-run --csv=layers",
    "tercet evaluate some-run --device cu": "tercet evaluate some-run --device cuda",
    "tercet compress my.y": "tercet compress my.yaml",
    "tercet report --rebuild some-r": "tercet report --rebuild some-run/",
    "tercet evaluate some-run --data my.y": "tercet evaluate some-run --data my.yaml",
    "tercet evaluate some-run --task piqa=my.y": "tercet evaluate some-run --task piqa=my.yaml",
    "tercet compress my.yaml --set quantization.form": "tercet compress my.yaml --set quantization.format",
    "tercet compress my.yaml --set training.schedule=cos": "tercet compress my.yaml --set training.schedule=cosine",
    "tercet compress my.yaml --set training.enabled=f": "tercet compress my.yaml --set training.enabled=false",
    "tercet compress my.yaml --set model.path=some-r": "tercet compress my.yaml --set model.path=some-run/",
    "tercet compress my.yaml --allow-changed gates.spars": "tercet compress my.yaml --allow-changed gates.sparsity.",
    "tercet completion z": "tercet completion zsh",
    "tercet generate some-run --prompt some-r": "tercet generate some-run --prompt some-r",  # any text: nothing to say
}


class Terminal:
    """A shell at a terminal, in a folder with a `my.yaml` and a folder `some-run`."""

    def __init__(self, shop, shell):
        if shutil.which(shell) is None:
            raise Skipped(f"no {shell} on this machine")
        self.folder = pathlib.Path(shop.folder) / shell
        (self.folder / "some-run").mkdir(parents=True)
        (self.folder / "my.yaml").write_text("")
        script = shop.run("completion", shell, ranks=0).must_end_with(0).out
        (self.folder / f"completion.{shell}").write_text(script, encoding="utf-8")
        self.line_file = self.folder / "line"
        command, setting_up = SHELLS[shell]
        self.process, self.screen = pty.fork()
        if self.process == 0:
            os.chdir(self.folder)
            os.execvpe(command[0], command, dict(os.environ, TERCET_LINE=str(self.line_file), TERM="dumb", HOME=str(self.folder),
                                                 INPUTRC="/dev/null", COLUMNS="200", LC_ALL="C.UTF-8"))
        (self.folder / "setting-up").write_text(setting_up)
        self.said = ""
        self.type(". ./setting-up; echo re''ady\n")
        self.wait_for(lambda: "ready" in self.said, "the shell does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.screen)

    def type(self, text):
        os.write(self.screen, text.encode())

    def listen(self, seconds):
        while select.select([self.screen], [], [], seconds)[0]:
            try:
                self.said += os.read(self.screen, 65536).decode(errors="replace")
            except OSError:  # the shell has ended
                return

    def wait_for(self, done, words):
        end = time.monotonic() + WAIT_S
        while not done():
            check(time.monotonic() < end, f"{words}: {self.said[-2000:]}")
            self.listen(0.02)

    def completed(self, line):
        """The line after the tabulator."""
        self.line_file.unlink(missing_ok=True)
        self.type(line + "\t")
        self.listen(0.15)
        self.type("\x18\x12")
        self.wait_for(lambda: self.line_file.exists() and (self.line_file.stat().st_size or not line), f"no answer to {line!r}")
        return self.line_file.read_text()

    def offered(self, line, last):
        """All that is shown for a line, after the tabulator was hit twice; `last` is a word that must come."""
        self.said = ""
        self.type(line + "\t\t")
        self.wait_for(lambda: last in self.said, f"{line!r} does not offer {last}")
        self.listen(0.3)
        self.type("\x15")
        return set(re.findall(r"[\w.-]+", self.said))


def completes(shop, shell):
    with Terminal(shop, shell) as terminal:
        found = {line: terminal.completed(line).rstrip(" =") for line in TYPED}
        for line, wanted in TYPED.items():
            check_equal(found[line], wanted, f"{shell} makes of {line!r}")
        commands = options_of_commands(shop)
        missing = set(commands) - terminal.offered("tercet ", "watch")
        check(not missing, f"{shell} does not offer the commands {missing}")
        for command in ("plan", "evaluate"):
            missing = commands[command] - terminal.offered(f"tercet {command} --", "--json")
            check(not missing, f"{shell} does not offer {missing} of {command}")


def options_of_commands(shop):
    """As the help of each says."""
    listed = shop.run("--help", ranks=0).must_end_with(0).out.partition("Subcommands:")[2]
    names = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    check(len(names) > 10, f"commands in the help: {names}")
    return {name: set(re.findall(r"^ +(?:-\w,)?(--[a-z][a-z-]*)", shop.run(name, "--help", ranks=0).out, re.MULTILINE))
            for name in names}


def bash_completes_what_is_typed(shop):
    completes(shop, "bash")


def zsh_completes_what_is_typed(shop):
    completes(shop, "zsh")


def the_functions_of_bash_offer_every_option_of_every_command(shop):
    script = shop.folder / "completion.sh"
    script.write_text(shop.run("completion", "bash", ranks=0).must_end_with(0).out, encoding="utf-8")
    ask = 'source "$1"; COMP_WORDS=(tercet "$2" -); COMP_CWORD=2; _tercet; echo "${COMPREPLY[*]}"'
    for name, options in options_of_commands(shop).items():
        offered = os.popen(f"bash -c '{ask}' bash '{script}' {name}").read().split()
        check_equal({word for word in offered if word.startswith("--")}, options, f"options of {name}")


def another_shell_is_refused_by_name(shop):
    said = shop.run("completion", "fish", ranks=0).must_end_with(64).err
    check("fish" in said and "bash" in said, said)


if __name__ == "__main__":
    main([bash_completes_what_is_typed, zsh_completes_what_is_typed,
          the_functions_of_bash_offer_every_option_of_every_command, another_shell_is_refused_by_name])
