"""The whole job on a GPU: what it comes to beside the CPU's, twice the same bits, also when it was killed on its way or
shared out over two ranks. Label "gpu"; skipped where there is none."""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

from driving import PACKED, QUICK, Skipped, check, check_close, check_equal, main, sets, storages
from interrupting import SOLVED_AND_TUNED, arguments_of, outcome_of, signal_rank, wait_for_stage, wait_until_gone

_finished = set()
ON_GPU = {"distributed__device": "cuda", "distributed__deterministic": "true"}
BY_BLOCKS = {"blockwise__enabled": "true", "blockwise__samples": 32, "blockwise__window": 2, "blockwise__scale_epochs": 1}


def on_gpu(shop):
    shop.model  # trained by two ranks, while the GPU is out of sight
    shop.environment.pop("CUDA_VISIBLE_DEVICES", None)
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        shop.environment["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
    version = shop.run("--version", ranks=0).must_end_with(0).out.splitlines()
    if not any(line.split()[0] == "gpus:" and line.split()[-1] != "0" for line in version if line.strip()):
        raise Skipped("no GPU here")


def job_of(shop, name, ranks=0, **settings):
    """A run, made when first asked for."""
    run = shop.folder / name
    if run not in _finished:
        shop.run(*arguments_of(shop, run, **settings), ranks=ranks).must_end_with(0)
        _finished.add(run)
    return run


def job(shop, name, ranks=0, **settings):
    """One with solver, block tuning and training."""
    return job_of(shop, name, ranks, **SOLVED_AND_TUNED, **settings)


def a_model_trained_on_a_gpu_is_that_of_the_cpu(shop):
    on_gpu(shop)
    found = {}
    for device in ("cpu", "cuda"):
        run = shop.folder / f"pretrained-{device}"
        shop.run("pretrain", QUICK, *sets(model__path="", output=run, data__cache=shop.tokens,
                                          distributed__device=device), ranks=0).must_end_with(0)
        found[device] = shop.run("evaluate", run, "--data", shop.text, "--json", "--device", device, "--sequence-length",
                                 64, ranks=0).must_end_with(0).json["perplexity"]
    print(f"    perplexity after training on the CPU {found['cpu']:.4f}, on the GPU {found['cuda']:.4f}", flush=True)
    check_close(found["cuda"], found["cpu"], 0.02, "perplexity after training on the GPU")


def a_job_on_a_gpu_comes_to_what_it_comes_to_on_the_cpu(shop):
    on_gpu(shop)
    here = outcome_of(job(shop, "on-cpu", distributed__device="cpu"))["figures"]
    there = outcome_of(job(shop, "on-gpu", **ON_GPU))["figures"]
    print(f"    perplexity on the CPU {here['packed']['perplexity']:.4f}, on the GPU {there['packed']['perplexity']:.4f}",
          flush=True)
    check_equal(sorted(there), sorted(here), "figures")
    for when in ("before", "packed"):
        check_close(there[when]["perplexity"], here[when]["perplexity"], 0.02, f"perplexity {when} on the GPU")
    shop.run("verify", shop.folder / "on-gpu", ranks=0).must_end_with(0)


def the_same_job_on_a_gpu_gives_the_same_bits(shop):
    on_gpu(shop)
    first, second = job(shop, "on-gpu", **ON_GPU), job(shop, "again-on-gpu", **ON_GPU)
    check_equal(storages(second / "artifacts" / PACKED), storages(first / "artifacts" / PACKED), "codes and scales")


def a_job_killed_on_a_gpu_goes_on_to_the_same_bits(shop):
    on_gpu(shop)
    expected = outcome_of(job(shop, "on-gpu", **ON_GPU))
    run = shop.folder / "killed-on-gpu"
    command = arguments_of(shop, run, **SOLVED_AND_TUNED, **ON_GPU)
    for attempt, stage in enumerate(("calibrate", "tune blocks", "fine-tune", "pack"), 1):
        started = shop.start(command, 0)
        if wait_for_stage(started, run, attempt, stage):
            signal_rank(started, shop.program, 0)
        check(wait_until_gone(started) != 0, f"it was not killed in '{stage}'")
    shop.run(*command, ranks=0).must_end_with(0)
    for part in ("storages", "figures"):
        check_equal(outcome_of(run)[part], expected[part], f"{part} after four kills")


def streamed_weights_change_no_bit_on_a_gpu(shop):
    on_gpu(shop)
    ways = {"rounded": {}, "solved and tuned": {**BY_BLOCKS, "quantization__solver": "compensated"}}
    for way, settings in ways.items():
        resident, streamed = (
            job_of(shop, f"{way}-{weights}", training__enabled="false", model__weights=weights, **settings, **ON_GPU)
            for weights in ("resident", "streamed"))
        check_equal(storages(streamed / "artifacts" / PACKED), storages(resident / "artifacts" / PACKED),
                    f"codes and scales, {way}")


def two_ranks_share_a_gpu_by_nccl(shop):
    on_gpu(shop)
    shared = {**ON_GPU, "distributed__allow_shared_gpu": "true"}
    one = job(shop, "calibrated-by-one", training__enabled="false", **ON_GPU)
    two = job(shop, "calibrated-by-two", ranks=2, training__enabled="false", **shared)
    check_equal(storages(two / "artifacts" / PACKED), storages(one / "artifacts" / PACKED),
                "codes and scales without training")
    outcome_of(job(shop, "trained-by-two", ranks=2, **shared))


def an_artifact_computes_on_a_gpu_as_on_the_cpu(shop):
    on_gpu(shop)
    run = job(shop, "on-gpu", **ON_GPU)
    found, written = {}, {}
    for device in ("cpu", "cuda"):
        found[device] = shop.run("evaluate", run, "--data", shop.text, "--json", "--device", device, "--sequence-length",
                                 64, ranks=0).must_end_with(0).json["perplexity"]
        written[device] = shop.run("generate", run, "--prompt", "import os\n", "--tokens", 16, "--device", device,
                                   "--json", ranks=0).must_end_with(0).json["ids"]
    check_close(found["cuda"], found["cpu"], 1e-4, "perplexity on the GPU")
    check_equal(written["cuda"][:4], written["cpu"][:4], "the first tokens of packed weights")
    # A matrix whose groups have no kernel on a GPU is named with the row: "packed (1 of 15 matrices)".
    speeds = {row["name"].split(" (")[0]: row for row in shop.run("bench", run, "--new-tokens", 32, "--prompt-tokens", 32, "--json",
                                                   "--repetitions", 2, "--device", "cuda",
                                                   ranks=0).must_end_with(0).json["models"]}
    packed, dense = speeds["packed"]["bytes_per_token"], speeds["dequantized, fp32"]["bytes_per_token"]
    check(packed < dense, f"packed weights were not used: {packed} bytes a token, {dense} dequantized")


def two_ranks_on_one_gpu_are_refused_in_a_sentence(shop):
    on_gpu(shop)
    command = arguments_of(shop, shop.folder / "refused", **ON_GPU)
    result = shop.run(*command, ranks=2)
    if result.code == 0:
        raise Skipped("there is a GPU for each rank")
    check_equal(result.code, 64, "exit code")
    check("GPU" in result.err, result.err)


if __name__ == "__main__":
    main([a_model_trained_on_a_gpu_is_that_of_the_cpu, a_job_on_a_gpu_comes_to_what_it_comes_to_on_the_cpu,
          the_same_job_on_a_gpu_gives_the_same_bits, a_job_killed_on_a_gpu_goes_on_to_the_same_bits,
          streamed_weights_change_no_bit_on_a_gpu, two_ranks_share_a_gpu_by_nccl, an_artifact_computes_on_a_gpu_as_on_the_cpu,
          two_ranks_on_one_gpu_are_refused_in_a_sentence])
