"""`tercet plan`: what it promises against what a job does, and worlds that are not there."""


from driving import DEQUANTIZED, PACKED, QUICK, check, check_close, check_equal, main, sets

GIVEN = ("--step-seconds", "0.1", "--bandwidth-gbps", "10", "--latency-us", "50", "--disk-mb-s", "200")


def plan(shop, *arguments, ranks=0, **settings):
    settings = {"model__path": shop.model, "data__cache": shop.tokens, "output": shop.folder / "none", **settings}
    return shop.run("plan", QUICK, *sets(**settings), *arguments, "--json", ranks=ranks)


def bytes_are_those_that_a_job_leaves(shop):
    settings = {"training__tokens": 2048, "checkpoint__every_steps": 2}
    run = shop.folder / "run"
    shop.run(*shop.quick(run.name, **settings), ranks=2).must_end_with(0)
    planned = plan(shop, *GIVEN, output=shop.folder / "other", ranks=2, **settings).must_end_with(0).json
    artifacts = planned["artifacts"]
    check_equal(artifacts[PACKED], (run / "artifacts" / PACKED).stat().st_size, "bytes of the packed file")
    check_equal(artifacts[DEQUANTIZED], (run / "artifacts" / DEQUANTIZED).stat().st_size, "bytes of the fp16 file")
    check_equal(artifacts["hf/model.safetensors"], (run / "artifacts" / "hf" / "model.safetensors").stat().st_size,
                "bytes of model.safetensors")
    checkpoint = run / "checkpoints" / "step-00000002"
    check_close(planned["disk"]["checkpoint"]["bytes"], sum(file.stat().st_size for file in checkpoint.iterdir()), 0.01,
                "bytes of a checkpoint")
    tokens = sum(file.stat().st_size for file in shop.tokens.iterdir())
    check_close(planned["disk"]["token_cache"], tokens, 0.2, "bytes of the token cache")
    report = shop.run("report", run, "--json", ranks=0).must_end_with(0).json
    peak = max(rank["peak_memory_bytes"] for rank in report["timing"]["ranks"])
    check_close(planned["memory_per_rank"]["total"], peak, 0.3, "memory of a rank")


def a_thousand_ranks_are_dealt_everything_once(shop):
    many = {"calibration__samples": 2048, "calibration__shards": 1024, "training__global_batch_tokens": 65536,
            "training__tokens": 655360}
    planned = plan(shop, "--world-size", "1024", "--ranks-per-node", "8", "--node-memory-gb", "512", *GIVEN,
                   **many).must_end_with(0).json
    check_equal((planned["world_size"], planned["nodes"], planned["steps"]), (1024, 128, 10), "world, nodes, steps")
    check(all(share["exact"] for share in planned["sharing"]), f"not each once: {planned['sharing']}")
    by_name = {share["what"]: share for share in planned["sharing"]}
    for what in ("calibration shards", "training sequences of a step"):
        check_equal((by_name[what]["least"], by_name[what]["most"]), (1, 1), what)
    check_equal([row["ranks"] for row in planned["time"]["scaling"]], [2 ** i for i in range(11)], "rows of the table")
    check(any("evaluation windows" in note for note in planned["notes"]), f"idle ranks are not said: {planned['notes']}")
    origins = {row["name"]: row["origin"] for row in planned["time"]["inputs"]}
    check_equal(origins["bandwidth of a rank's link"], "given", "origin of the bandwidth")


def every_limit_is_said_at_once_with_what_works(shop):
    refused = plan(shop, "--world-size", "1024", *GIVEN).must_end_with(64)

    text = refused.err
    for setting in ("calibration.shards: 1024", "calibration.samples: 1024", "training.global_batch_tokens: 65536",
                    "training.tokens: 65536", "at most 8 ranks"):
        check(setting in text, f"does not say '{setting}': {text}")
    check_equal((len(refused.errors()), refused.out), (1, ""), "error messages and stdout")
    cured = plan(shop, "--world-size", "1024", "--node-memory-gb", "64", *GIVEN, calibration__shards=1024,
                 calibration__samples=1024, training__global_batch_tokens=65536, training__tokens=65536)
    cured.must_end_with(0)


def a_node_that_is_too_small_is_refused(shop):
    refused = plan(shop, "--ranks-per-node", "1", "--node-memory-gb", "0.01", *GIVEN).must_end_with(64)
    check("need" in refused.err and "node" in refused.err, refused.err)


def what_is_not_given_is_measured_or_said_to_be_assumed(shop):
    origins = {row["name"]: row["origin"] for row in plan(shop).must_end_with(0).json["time"]["inputs"]}
    check(origins["step of one rank with one micro-batch"].startswith("measured"), origins)
    check(origins["latency of a message"].startswith("assumed"), origins)  # one rank has nobody to measure with
    check(origins["disk, all ranks together"].startswith("measured"), origins)
    two = {row["name"]: row["origin"] for row in plan(shop, ranks=2).must_end_with(0).json["time"]["inputs"]}
    check(two["bandwidth of a rank's link"].startswith("measured"), two)
    check(not (shop.folder / "none").exists(), "plan made an output folder")
    left = [path.name for path in shop.folder.iterdir() if path.name.startswith(".tercet-plan")]
    check(not left, f"left behind: {left}")


def the_text_shows_the_tables(shop):
    settings = sets(model__path=shop.model, data__cache=shop.tokens, output=shop.folder / "none")
    text = shop.run("plan", QUICK, *settings, "--world-size", "4", *GIVEN, ranks=0).must_end_with(0).out
    for word in ("memory of one rank", "on disk", "dealt out", "reckoned with", "efficiency", "given", "assumed"):
        check(word in text, f"no '{word}' in:\n{text}")
    check("NO" not in text.split("each once")[1].split("reckoned")[0], text)


if __name__ == "__main__":
    main([bytes_are_those_that_a_job_leaves, a_thousand_ranks_are_dealt_everything_once,
          every_limit_is_said_at_once_with_what_works, a_node_that_is_too_small_is_refused,
          what_is_not_given_is_measured_or_said_to_be_assumed, the_text_shows_the_tables])
