"""From nothing to checked artifacts in seconds: a model is pretrained on Python's own library, compressed, verified."""

import json

from driving import DEQUANTIZED, PACKED, QUICK, check, check_close, check_equal, digests, main, sets, status_of, storages

METADATA = "compression_metadata.json"
METRICS_OF_THE_SEED = 19


def compressed(shop):
    """The run most tests look at; made by the first of them."""
    run = shop.folder / "run"
    if not (run / "artifacts").exists():
        settings = {"data__evaluation": f"[{shop.text}]"}
        shop.first_result = shop.run(*shop.quick("run", **settings), "--json").must_end_with(0)
        shop.first_settings = settings
    return run


def a_job_passes_and_leaves_every_artifact(shop):
    run = compressed(shop)
    artifacts = run / "artifacts"
    for name in (PACKED, DEQUANTIZED, METADATA, "hf/config.json", "hf/model.safetensors",
                 "hf/tokenizer.json", "tokenizer/tokenizer.json"):
        check((artifacts / name).stat().st_size > 0, f"{name} is empty")
    for name in ("run.h5", "journal.jsonl", "config.resolved.yaml", "log/rank-0000.log", "log/rank-0001.log"):
        check((run / name).stat().st_size > 0, f"{name} is empty")
    status = status_of(run)
    check_equal((status["state"], status["exit_code"]), ("passed", 0), "status.json")
    metadata = json.loads((artifacts / METADATA).read_text(encoding="utf-8"))
    metrics = metadata["metrics"]
    check_equal(len(metrics), METRICS_OF_THE_SEED, "number of metrics")
    check(all(value is not None for value in metrics.values()), f"a metric without a value: {metrics}")
    leftovers = [path.name for path in run.iterdir() if "tmp" in path.name or "staged" in path.name]
    check(not leftovers, f"left behind: {leftovers}")


def the_report_says_what_was_measured(shop):
    run = compressed(shop)
    report = shop.run("report", run, "--json", ranks=0).must_end_with(0).json
    results = report["results"]
    check_equal(report["results"], shop.first_result.json["results"], "the report and the job's own result")
    check_equal(results["packed_bytes"], (run / "artifacts" / PACKED).stat().st_size, "bytes of the packed file")
    check_equal(results["fp32_bytes"], 4 * results["parameters"], "fp32 bytes")
    check(report["layers"] and report["gates"] and report["timing"]["stages"], "a table is empty")
    ternary = [layer for layer in report["layers"] if layer["format"] == "ternary"]
    check_equal(len(ternary), 14, "ternary layers of 2 blocks with 7 linear layers each")
    check(all(0 < layer["sparsity"] < 1 for layer in ternary), "a ternary layer without zeros or without others")


def a_report_can_be_rebuilt_from_the_journal(shop):
    run = compressed(shop)
    known = shop.run("report", run, "--json", ranks=0).must_end_with(0).json
    (run / "run.h5").unlink()
    rebuilt = shop.run("report", run, "--rebuild", "--json", ranks=0).must_end_with(0).json
    check_equal(rebuilt, known, "the report after --rebuild")


def verify_accepts_good_artifacts_and_refuses_a_changed_one(shop):
    run = compressed(shop)
    check_equal(shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0).json["passed"], True, "passed")
    copy = shop.folder / "changed"
    copy.mkdir()
    for name in digests(run / "artifacts"):
        (copy / name).parent.mkdir(exist_ok=True, parents=True)
        (copy / name).write_bytes((run / "artifacts" / name).read_bytes())
    weights = bytearray((copy / "hf" / "model.safetensors").read_bytes())
    weights[-3] ^= 0x20
    (copy / "hf" / "model.safetensors").write_bytes(weights)
    refused = shop.run("verify", copy, "--json", ranks=0)
    check_equal(refused.code, 65, "exit code for a changed weight")
    findings = refused.json["findings"] if refused.out else refused.errors()
    check(findings and "model.safetensors" in " ".join(findings), f"does not name the file: {findings}")


def evaluate_gives_the_perplexity_of_the_report_on_any_number_of_ranks(shop):
    run = compressed(shop)
    packed = shop.run("report", run, "--json", ranks=0).must_end_with(0).json["results"]["packed"]
    arguments = ("evaluate", run / "artifacts", "--data", shop.text, "--sequence-length", "64", "--windows", "20", "--json")
    figures = {ranks: shop.run(*arguments, ranks=ranks).must_end_with(0).json for ranks in (0, 1, 2, 3)}
    check_equal(set(figures[0]), {"tokens", "nll", "perplexity", "top1_accuracy"}, "keys")
    for ranks, found in figures.items():
        check_equal(found, figures[0], f"{ranks} ranks")
    check_equal(figures[0]["tokens"], 20 * 63, "tokens")
    check_equal(figures[0]["perplexity"], packed["perplexity"], "perplexity of the report")
    check_equal(figures[0]["top1_accuracy"], packed["accuracy"], "accuracy of the report")
    by_kernels = shop.run(*arguments, "--weights", "packed").must_end_with(0).json
    check_close(by_kernels["perplexity"], packed["perplexity"], 1e-3, "perplexity by packed kernels")


def evaluate_compares_with_the_original(shop):
    run = compressed(shop)
    results = shop.run("report", run, "--json", ranks=0).must_end_with(0).json["results"]
    found = shop.run("evaluate", run, "--data", shop.text, "--sequence-length", "64", "--windows", "20", "--against",
                     shop.model, "--json").must_end_with(0).json
    check_equal(found["top1_agreement"], results["packed"]["agreement"], "agreement")
    check_equal(found["kl"], results["packed"]["kl"], "KL")
    own = shop.run("evaluate", shop.model, "--data", shop.text, "--sequence-length", "64", "--windows", "20", "--against",
                   shop.model, "--json").must_end_with(0).json
    check_equal(own["perplexity"], results["before"]["perplexity"], "the original's perplexity")
    check_equal((own["top1_agreement"], own["kl"]), (1.0, 0.0), "a model against itself")


def artifacts_are_the_same_bytes_for_any_number_of_ranks(shop):
    reports, tensors, files = {}, {}, {}
    for ranks in (1, 2, 3):
        run = shop.folder / f"rounded-{ranks}"
        result = shop.run(*shop.quick(run.name, training__enabled="false"), "--json", ranks=ranks).must_end_with(0)
        reports[ranks], tensors[ranks] = result.json, storages(run / "artifacts" / PACKED)
        files[ranks] = {name: digest for name, digest in digests(run / "artifacts").items() if name != METADATA}
        check_equal(tensors[ranks], tensors[1], f"tensors of the packed file, {ranks} ranks")
        check_equal(files[ranks], files[1], f"SHA-256 of the artifacts, {ranks} ranks")
        facts = json.loads((run / "artifacts" / METADATA).read_text(encoding="utf-8"))["run"]
        check_equal((facts["ranks"], facts["attempt"]), (ranks, 1), "what the metadata says of the run")
        check_equal(reports[ranks]["layers"], reports[1]["layers"], f"per-layer table, {ranks} ranks")
        for when in ("before", "quantized", "packed"):
            check_equal(reports[ranks]["results"][when], reports[1]["results"][when], f"{when}, {ranks} ranks")


def a_solved_start_is_what_is_packed_for_any_number_of_ranks(shop):
    rounded = shop.folder / "rounded-1"
    known = shop.run("report", rounded, "--json", ranks=0).must_end_with(0).json["results"]
    tensors = {}
    for ranks in (1, 3):
        run = shop.folder / f"solved-{ranks}"
        arguments = shop.quick(run.name, training__enabled="false", quantization__solver="compensated")
        report = shop.run(*arguments, "--json", ranks=ranks).must_end_with(0).json
        tensors[ranks] = storages(run / "artifacts" / PACKED)
        check_equal(tensors[ranks], tensors[1], f"tensors of the packed file, {ranks} ranks")
        results, solver = report["results"], report["provenance"]["solver"]
        check_equal(results["quantized"]["perplexity"], results["packed"]["perplexity"], "perplexity as solved, as packed")
        check_equal((len(solver["layers"]), solver["fallbacks"]), (14, []), "solved layers")
        check(all(layer["error"] < layer["error_rounding"] for layer in solver["layers"]), "a layer is not better")
        check(results["packed"]["perplexity"] < known["packed"]["perplexity"], "no better than rounding")


def every_format_goes_through_a_whole_job(shop):
    """Trained where it starts from levels that a solver fixed, packed, read back, verified."""
    cases = [("ternary5", True, "4"), ("int2", False, "6"), ("int3", True, "ternary"), ("int4", False, "16"), ("int8", True, "8")]
    for name, symmetric, embedding in cases:
        run = shop.folder / f"format-{name}"
        arguments = shop.quick(run.name, quantization__format=name, quantization__symmetric=str(symmetric).lower(),
                               quantization__solver="compensated", quantization__group_size=16,
                               quantization__embedding_bits=embedding, quantization__table_group_size=16)
        report = shop.run(*arguments, "--json").must_end_with(0).json
        layers = [layer for layer in report["layers"] if layer["format"] == name]
        check(len(layers) >= 14, f"{name}: {len(layers)} layers")
        verdicts = {gate["name"]: gate["verdict"] for gate in report["gates"]}
        check_equal(verdicts["sparsity"] == "skipped", name != "ternary5", f"{name}: sparsity gate")
        tensors = shop.run("inspect", run / "artifacts", "--json", ranks=0).must_end_with(0).json["tensors"]
        bits = {"ternary5": 1.6, "int2": 2, "int3": 3, "int4": 4, "int8": 8}[name] + (1 if symmetric else 1.5)  # scales
        for tensor in tensors:
            if tensor["format"] == name and tensor["role"] != "embedding":
                check(abs(tensor["bits_per_weight"] - bits) < 0.5, f"{name}: {tensor}")
        shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0)


def a_group_that_does_not_divide_a_width_is_refused_at_once(shop):
    result = shop.run(*shop.quick("misfit", quantization__format="int4", quantization__group_size=40)).must_end_with(64)
    check("divides every width" in " ".join(result.errors()), f"no way out: {result.errors()}")
    check("==> calibrate" not in result.err, "it began to work")


def a_finished_run_is_shown_again_without_work(shop):
    run = compressed(shop)
    before = digests(run / "artifacts")
    again = shop.run(*shop.quick("run", **shop.first_settings), "--json").must_end_with(0)
    check_equal(again.json["results"], shop.first_result.json["results"], "results")
    check("==>" not in again.err, f"it worked again:\n{again.err}")
    check_equal(digests(run / "artifacts"), before, "artifacts")
    check_equal(status_of(run)["state"], "passed", "status.json")


def a_failed_gate_ends_with_3_and_rejected_artifacts(shop):
    run = shop.folder / "too-much-asked"
    arguments = shop.quick(run.name, training__enabled="false", gates__compression__severity="fail",
                           gates__compression__threshold=1000)
    for when in ("at once", "when shown again"):
        result = shop.run(*arguments, "--json").must_end_with(3)
        check(not (run / "artifacts").exists(), f"{when}: there are artifacts/")
        check((run / "rejected" / PACKED).exists(), f"{when}: rejected/ has no packed file")
        verdicts = {gate["name"]: gate["verdict"] for gate in result.json["gates"]}
        check_equal(verdicts["compression"], "fail", f"{when}: compression gate")
        status = status_of(run)
        check_equal((status["state"], status["exit_code"]), ("gate_failed", 3), f"{when}: status.json")


def a_gate_that_only_warns_does_not_fail_the_job(shop):
    run = shop.folder / "warned"
    result = shop.run(*shop.quick(run.name, training__enabled="false", gates__compression__threshold=1000),
                      "--json").must_end_with(0)
    verdicts = {gate["name"]: gate["verdict"] for gate in result.json["gates"]}
    check_equal(verdicts["compression"], "fail", "compression gate")
    check((run / "artifacts" / PACKED).exists(), "no artifacts")


def pretrain_refuses_to_overwrite_a_model(shop):
    before = digests(shop.model)
    result = shop.run("pretrain", QUICK, *sets(model__path="", output=shop.model, data__cache=shop.tokens)).must_end_with(64)
    after = {name: digest for name, digest in digests(shop.model).items() if not name.startswith("log/")}
    check_equal(after, {name: digest for name, digest in before.items() if not name.startswith("log/")}, "the model")
    check_equal(len(result.errors()), 1, "error messages")


if __name__ == "__main__":
    main([a_job_passes_and_leaves_every_artifact, the_report_says_what_was_measured,
          a_report_can_be_rebuilt_from_the_journal, verify_accepts_good_artifacts_and_refuses_a_changed_one,
          evaluate_gives_the_perplexity_of_the_report_on_any_number_of_ranks, evaluate_compares_with_the_original,
          artifacts_are_the_same_bytes_for_any_number_of_ranks,
          a_solved_start_is_what_is_packed_for_any_number_of_ranks, every_format_goes_through_a_whole_job,
          a_group_that_does_not_divide_a_width_is_refused_at_once, a_finished_run_is_shown_again_without_work,
          a_failed_gate_ends_with_3_and_rejected_artifacts, a_gate_that_only_warns_does_not_fail_the_job,
          pretrain_refuses_to_overwrite_a_model])
