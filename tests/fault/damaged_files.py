"""Files of an interrupted run that a disk or a person damaged: the job goes on from what is sound, names what is not,
deletes nothing of it, and comes to the same as the job left alone."""

import json
import shutil
import signal

from driving import check, main
from interrupting import Reference, arguments_of, must_come_to, signal_rank, wait_for_stage, wait_until_gone

_made = {}


def interrupted(shop):
    """A run with two checkpoints and finished units, killed in training; made once and copied."""
    if not _made:
        run = shop.folder / "interrupted"
        job = shop.start(arguments_of(shop, run), 2)
        check(wait_for_stage(job, run, 1, "fine-tune"), "never came to training")
        while len(checkpoints(run)) < 2:
            check(job.poll() is None, "the job ended before two checkpoints")
        signal_rank(job, shop.program, 0, signal.SIGKILL)
        wait_until_gone(job)
        _made["run"], _made["reference"] = run, Reference(shop, 2)
    return _made["run"]


def checkpoints(run):
    return sorted((run / "checkpoints").glob("step-*"))


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)


def flip_in_a_tensor(file):
    """One bit of the largest; what lies between the tensors is HDF5's own, and the state is sound without it."""
    tensors = json.loads((file.parent / "manifest.json").read_text())["tensors"]
    flip(file, max(tensors, key=lambda tensor: sum(part["count"] for part in tensor["slices"]))["position"] + 42)


def must_go_on(shop, name, damage, words=()):
    """Damages a copy of the interrupted run, finishes it, and looks for `words` in what it says."""
    run = shop.folder / name
    shutil.copytree(interrupted(shop), run)
    damage(run)
    result = shop.run(*arguments_of(shop, run), ranks=2).must_end_with(0)
    for word in words:
        check(word in result.err, f"does not say {word!r}:\n{result.err[-3000:]}")
    must_come_to(run, _made["reference"].outcome, name)
    return run


def a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(shop):
    newest = checkpoints(interrupted(shop))[-1].name
    size = (interrupted(shop) / "checkpoints" / newest / "state.h5").stat().st_size
    damages = {"empty": lambda file: cut(file, 0), "one-byte": lambda file: cut(file, 1),
               "half": lambda file: cut(file, size // 2), "last-byte": lambda file: cut(file, size - 1),
               "flipped": flip_in_a_tensor, "missing": lambda file: file.unlink()}
    for kind, damage in damages.items():
        run = must_go_on(shop, f"state-{kind}", lambda run, d=damage: d(run / "checkpoints" / newest / "state.h5"),
                         [newest, "does not verify"])
        check(list((run / "checkpoints").glob(f"bad-{newest}*")), f"{kind}: the bad checkpoint was not kept")


def a_wrong_manifest_is_noticed(shop):
    older, newest = (path.name for path in checkpoints(interrupted(shop))[-2:])

    def another_step(run):
        shutil.copy(run / "checkpoints" / older / "manifest.json", run / "checkpoints" / newest / "manifest.json")

    def changed(run):
        file = run / "checkpoints" / newest / "manifest.json"
        manifest = json.loads(file.read_text())
        manifest["metadata"]["first_loss"] = 1.0
        file.write_text(json.dumps(manifest))

    for kind, damage in (("other", another_step), ("changed", changed),
                         ("cut", lambda run: cut(run / "checkpoints" / newest / "manifest.json", 100)),
                         ("gone", lambda run: (run / "checkpoints" / newest / "manifest.json").unlink())):
        must_go_on(shop, f"manifest-{kind}", damage, [newest])


def no_checkpoint_at_all_means_training_anew(shop):
    must_go_on(shop, "no-checkpoints", lambda run: shutil.rmtree(run / "checkpoints"))


def damaged_finished_units_are_computed_again(shop):
    def damage_all(run):
        files = sorted((run / "work").glob("*.log"))
        check(files, "there is no work log")
        for number, file in enumerate(files):
            (flip if number % 2 else cut)(file, file.stat().st_size // 2)

    must_go_on(shop, "units-damaged", damage_all, ["is damaged, unfinished or of another job"])
    must_go_on(shop, "units-gone", lambda run: shutil.rmtree(run / "work"))


def a_damaged_run_file_is_made_again_from_the_journal(shop):
    for kind, damage in (("cut", lambda run: cut(run / "run.h5", 1000)), ("gone", lambda run: (run / "run.h5").unlink()),
                         ("journal-cut", lambda run: cut(run / "journal.jsonl",
                                                         (run / "journal.jsonl").stat().st_size - 7))):
        must_go_on(shop, f"record-{kind}", damage)


def leftovers_of_a_kill_do_not_reach_the_artifacts(shop):
    def litter(run):
        staged = run / ".artifacts.tmp"
        (staged / "hf").mkdir(parents=True)
        (staged / "hf" / "model.safetensors").write_bytes(b"half of it")
        (staged / "bitnet_quantized_model.pt.tmp-1").write_bytes(b"half of it")
        (staged / "stray.txt").write_text("not ours")

    run = must_go_on(shop, "littered", litter)
    left = sorted(path.name for path in (run / "artifacts").iterdir())
    check(left == ["bitnet_dequantized_fp16.pt", "bitnet_quantized_model.pt", "compression_metadata.json", "hf",
                   "tokenizer"], f"artifacts holds {left}")


if __name__ == "__main__":
    main([a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used, a_wrong_manifest_is_noticed,
          no_checkpoint_at_all_means_training_anew, damaged_finished_units_are_computed_again,
          a_damaged_run_file_is_made_again_from_the_journal, leftovers_of_a_kill_do_not_reach_the_artifacts])
