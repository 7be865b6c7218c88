"""More ranks than cores: 8 and 16 on one machine, to show that nothing depends on their number."""

from driving import PACKED, check, check_equal, main, status_of, storages

# Sixteen of everything that a rank must have one of.
WORK = {"calibration__samples": 32, "calibration__shards": 16, "calibration__batch": 2, "evaluation__batch": 1,
        "evaluation__windows": 16, "training__global_batch_tokens": 1024, "training__micro_batch": 1}


def rounded(shop, ranks):
    """The report of a job without training, and the tensors it packed."""
    run = shop.folder / f"rounded-{ranks}"
    result = shop.run(*shop.quick(run.name, training__enabled="false", **WORK), "--json", ranks=ranks).must_end_with(0)
    return result.json, storages(run / "artifacts" / PACKED)


def statistics_codes_and_scales_are_those_of_one_rank(shop):
    one, tensors = rounded(shop, 1)
    for ranks in (8, 16):
        many, many_tensors = rounded(shop, ranks)
        check_equal(many_tensors, tensors, f"tensors of the packed file, {ranks} ranks")
        check_equal(many["layers"], one["layers"], f"per-layer table, {ranks} ranks")
        for when in ("before", "quantized", "packed"):
            check_equal(many["results"][when], one["results"][when], f"{when}, {ranks} ranks")
        check_equal(len(many["timing"]["ranks"]), ranks, "ranks in the report")


def sixteen_ranks_fine_tune_save_and_leave_good_artifacts(shop):
    run = shop.folder / "trained"
    result = shop.run(*shop.quick(run.name, training__tokens=3072, training__evaluate_every=2, checkpoint__every_steps=2,
                                  **WORK), "--json", ranks=16).must_end_with(0)
    fine_tuning = result.json["results"]["fine_tuning"]
    check_equal(fine_tuning["steps"], 3, "steps")
    check((run / "checkpoints" / "step-00000002" / "manifest.json").exists(), "no checkpoint")
    check_equal(status_of(run)["state"], "passed", "status.json")
    verdict = shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0).json
    check_equal(verdict["passed"], True, "passed")


if __name__ == "__main__":
    main([statistics_codes_and_scales_are_those_of_one_rank, sixteen_ranks_fine_tune_save_and_leave_good_artifacts])
