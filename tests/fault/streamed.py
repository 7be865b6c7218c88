"""A job with streamed weights that is killed in a stage goes on to the same codes, scales and figures; so does one that
had them in memory until then."""

from driving import check, main
from interrupting import Campaign, Reference, arguments_of, must_come_to, signal_rank, wait_for_stage, wait_until_gone

RESIDENT = {"training__enabled": "false", "blockwise__enabled": "true",
            "blockwise__samples": 32, "blockwise__window": 2, "quantization__solver": "compensated"}
STREAMED = {"model__weights": "streamed", **RESIDENT}
KILLED_IN = ["calibrate", "quantize", "tune blocks", "tune blocks", "tune blocks", "pack", "measure what was packed"]
SEED = 20261127


def a_killed_job_comes_to_the_same(shop):
    for ranks in (1, 2):
        Campaign(shop, ranks, KILLED_IN, SEED, **STREAMED).make(4)


def a_job_killed_with_its_weights_in_memory_goes_on_streaming(shop):
    run = shop.folder / "changed"
    job = shop.start(arguments_of(shop, run, **RESIDENT), 2)
    check(wait_for_stage(job, run, 1, "tune blocks"), "never came to 'tune blocks'")
    check(signal_rank(job, shop.program, 1), "no rank to kill")
    check(wait_until_gone(job) != 0, "the job was faster than the kill")
    shop.run(*arguments_of(shop, run, **STREAMED), ranks=2).must_end_with(0)
    must_come_to(run, Reference(shop, 2, **RESIDENT).outcome, "a job that went on streaming")


if __name__ == "__main__":
    main([a_killed_job_comes_to_the_same, a_job_killed_with_its_weights_in_memory_goes_on_streaming])
