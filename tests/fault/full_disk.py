"""A disk that is full, or a folder that turns read-only, ends the job with 74 and a message. When that is mended, the same
command finishes the job, and it comes to the same as one that never met that."""

import contextlib
import subprocess

from driving import PATIENCE_S, Skipped, check, check_equal, main
from interrupting import Reference, arguments_of, must_come_to, wait_for_stage, wait_until_gone

LATEST_S = 20
_reference = {}


def reference(shop):
    if not _reference:
        _reference["it"] = Reference(shop, 2)
    return _reference["it"].outcome


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tercet-test", str(folder)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise Skipped(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a rank that MPI_ABORT ended may hold its log file a moment longer than mpirun lives.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=PATIENCE_S)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, timeout=PATIENCE_S)


def a_full_disk_ends_the_job_and_with_room_it_goes_on(shop):
    expected = reference(shop)
    for kilobytes in (16, 900, 2000, 2800):  # full at the first files, at the text, at a checkpoint, at a later one
        with small_disk(shop.folder / f"disk-{kilobytes}", kilobytes) as disk:
            command = arguments_of(shop, disk / "run")
            result = shop.run(*command).must_end_with(74)
            check_equal(len(result.errors()), 1, f"number of messages in\n{result.err}\n")
            check(str(disk) in result.errors()[0], f"does not name the file: {result.errors()[0]}")
            check(result.seconds < LATEST_S, f"took {result.seconds:.1f} s")
            check(not (disk / "run" / "artifacts").exists(), "there are artifacts")
            remount(disk, "size=64m")
            shop.run(*command).must_end_with(0)
            must_come_to(disk / "run", expected, f"a job that met a disk of {kilobytes} kB")


def change_attribute(folder, change):
    done = subprocess.run(["chattr", change, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"a folder cannot be made immutable here: {done.stderr.strip()}")


def a_folder_that_turns_read_only_ends_the_job_and_it_goes_on(shop):
    """Immutable folders stop even root."""
    expected, run = reference(shop), shop.folder / "read-only"
    job = shop.start(arguments_of(shop, run), 2)
    check(wait_for_stage(job, run, 1, "fine-tune"), "never came to training")
    while not (run / "checkpoints").exists() and job.poll() is None:
        pass
    try:
        change_attribute(run / "checkpoints", "+i")
        check_equal(wait_until_gone(job), 74, "exit code")
    finally:
        wait_until_gone(job)
        subprocess.run(["chattr", "-i", str(run / "checkpoints")], check=False, capture_output=True)
    shop.run(*arguments_of(shop, run)).must_end_with(0)
    must_come_to(run, expected, "a job whose folder turned read-only")


if __name__ == "__main__":
    main([a_full_disk_ends_the_job_and_with_room_it_goes_on, a_folder_that_turns_read_only_ends_the_job_and_it_goes_on])
