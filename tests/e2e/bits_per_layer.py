"""Formats of single layers, and bits per layer that are chosen for a target."""

import json

from driving import PACKED, check, check_close, check_equal, main, sets, storages, QUICK

INTEGERS = {"quantization__format": "int3", "quantization__group_size": 16, "quantization__solver": "compensated",
            "quantization__activation_bits": 16, "training__enabled": "false",
            "allocation__formats": "[int2, int3, int4, {format: int4, symmetric: false}, int6]", "allocation__samples": 4}


def compressed(shop, name, ranks=2, code=0, **settings):
    return shop.run(*shop.quick(name, **{**INTEGERS, **settings}), "--json", ranks=ranks).must_end_with(code)


def formats_of(shop, run):
    tensors = shop.run("inspect", run / "artifacts", "--json", ranks=0).must_end_with(0).json["tensors"]
    return {tensor["name"]: tensor["format"] for tensor in tensors}


def planned_job(shop, **settings):
    settings = {"model__path": shop.model, "data__cache": shop.tokens, "output": shop.folder / "none", **INTEGERS, **settings}
    return shop.run("plan", QUICK, *sets(**settings, target__like="int3"), "--json", ranks=0).must_end_with(0).json


def span_of(shop, **settings):
    return planned_job(shop, **settings)["allocation"]


def rows_reach_training_the_file_and_the_gates(shop):
    """Ternary but for two rows, tuned and trained: the sparsity gate judges the trits alone."""
    run = shop.folder / "rows"
    rows = "[{role: down, format: int4, group_size: 16}, {match: '*.1.*q_proj*', format: int6}]"
    result = compressed(shop, run.name, quantization__format="ternary", quantization__layers=rows, blockwise__enabled="true",
                        blockwise__samples=16, training__enabled="true", training__tokens=10240).json
    formats = formats_of(shop, run)
    for name, form in formats.items():
        if "down_proj" in name:
            check_equal(form, "int4", name)
        elif "layers.1" in name and "q_proj" in name:
            check_equal(form, "int6", name)
        elif "_proj" in name:
            check_equal(form, "ternary", name)
    results = result["results"]
    check(0 < results["ternary_parameters"] < results["quantized_parameters"], "which weights are trits")
    check({gate["name"]: gate["verdict"] for gate in result["gates"]}["sparsity"] != "skipped", "no sparsity gate")
    shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0)
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check_equal((metadata["compression_method"], metadata["allocation"]), ("mixed", None), "metadata")
    check(2 < metadata["quantization_bits"] < 4, metadata["quantization_bits"])


def a_row_that_names_nothing_is_refused_at_once(shop):
    refused = compressed(shop, "nothing", code=64, quantization__layers="[{match: '*.down_prj.*', format: int4}]")
    check("down_proj" in refused.err and "==> calibrate" not in refused.err, refused.err)


def the_same_formats_are_chosen_on_any_number_of_ranks(shop):
    """At the bytes of uniform int3, and better than it."""
    found = {}
    for ranks in (1, 2, 3, 4):
        run = shop.folder / f"like-{ranks}"
        report = compressed(shop, run.name, ranks=ranks, target__like="int3").json
        found[ranks] = (report["provenance"]["allocation"], storages(run / "artifacts" / PACKED))
        check_equal(found[ranks], found[1], f"allocation and tensors on {ranks} ranks")
    run = shop.folder / "like-2"
    allocation = found[2][0]
    written = (run / "artifacts" / PACKED).stat().st_size
    check_equal((allocation["predicted_bytes"], allocation["written_bytes"]), (written, written), "bytes")
    check(written <= allocation["budget_bytes"], "more bytes than there were")
    check(len(set(formats_of(shop, run).values())) > 2, "not mixed")
    check_close(allocation["measured_kl"], allocation["predicted_loss"], 0.5, "divergence")
    uniform = compressed(shop, "uniform").json["results"]
    check_equal(allocation["budget_bytes"], uniform["packed_bytes"], "the bytes of the uniform model")
    mixed = shop.run("report", run, "--json", ranks=0).must_end_with(0).json["results"]
    check(mixed["packed"]["kl"] < uniform["packed"]["kl"], f"{mixed['packed']} is no better than {uniform['packed']}")
    shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0)
    text = shop.run("report", run, ranks=0).must_end_with(0).out
    check("bits per layer for target.like: int3" in text and "came out" in text, text)
    page = (run / "report.html").read_text(encoding="utf-8")
    check('<section id="bits">' in page and "Chosen for target.like: int3" in page, "the page has no bits per layer")
    for figure in ("predicted_bytes", "written_bytes"):
        check(f'data-key="/provenance/allocation/{figure}" value="{written}"' in page, f"the page has no {figure}")
    check(f"The format of each of {len(allocation['layers'])} layers" in page, "the page has no table of formats")


def a_size_is_kept_with_tables_and_errors_of_outputs(shop):
    run = shop.folder / "size"
    settings = {"allocation__tables": "[8, 4]", "quantization__table_group_size": 16, "quantization__solver": "rounding",
                "allocation__sensitivity": "error"}
    budget = (span_of(shop, **settings)["budget_bytes"] + span_of(shop, **settings)["smallest_bytes"]) // 200 * 100
    compressed(shop, run.name, target__size_mb=budget / 1e6, **settings)
    written = (run / "artifacts" / PACKED).stat().st_size
    check(0.97 * budget < written <= budget, f"{written} bytes of {budget}")


def a_perplexity_is_reached_in_rounds(shop):
    run = shop.folder / "quality"
    report = compressed(shop, run.name, target__perplexity_degradation=0.02).json
    allocation = report["provenance"]["allocation"]
    rounds = allocation["rounds"]
    check(1 <= len(rounds) <= 6, rounds)
    good = [each["bytes"] for each in rounds if each["measured_nll_growth"] <= 0.0198026]  # log 1.02
    check_equal(min(good), allocation["written_bytes"], "the smallest round that met the target")
    gate = next(gate for gate in report["gates"] if gate["name"] == "perplexity")
    check_equal(gate["threshold"], 0.02, "what the result is judged by")
    again = shop.folder / "quality-again"
    check_equal(compressed(shop, again.name, ranks=3, target__perplexity_degradation=0.02).json["provenance"]["allocation"],
                allocation, "on three ranks")


def a_target_that_cannot_be_met_is_refused_with_one_that_can(shop):
    for command in ("compress", "plan"):
        settings = {"model__path": shop.model, "data__cache": shop.tokens, "output": shop.folder / "tiny", **INTEGERS}
        refused = shop.run(command, QUICK, *sets(**settings, target__size_mb=0.01)).must_end_with(64)
        check("target.size_mb: 0.01 cannot be met" in refused.err and " works" in refused.err, refused.err)
        check("==> calibrate" not in refused.err, "it began to work")
        settings["output"] = shop.folder / "large"
        easy = shop.run(command, QUICK, *sets(**settings, target__ratio=0.5)).must_end_with(64)
        check("target.ratio: 0.5 is met by the original as it is" in easy.err and " or more" in easy.err, easy.err)
    coarse = "[{format: ternary, granularity: tensor}, {format: ternary, granularity: channel}]"
    refused = compressed(shop, "fine", code=64, target__perplexity_degradation=1e-9, allocation__formats=coarse,
                         quantization__solver="rounding", allocation__rounds=2)
    check("the finest formats give" in refused.err and "works" in refused.err, refused.err)


def plan_says_what_can_be_chosen(shop):
    planned = planned_job(shop)
    span = planned["allocation"]
    check(span["smallest_bytes"] < span["budget_bytes"] < span["largest_bytes"], span)
    check_close(planned["artifacts"][PACKED], span["budget_bytes"], 0.02, "planned bytes")
    check(planned["artifacts"][PACKED] <= span["budget_bytes"], "planned beyond the budget")


if __name__ == "__main__":
    main([rows_reach_training_the_file_and_the_gates, a_row_that_names_nothing_is_refused_at_once,
          the_same_formats_are_chosen_on_any_number_of_ranks, a_size_is_kept_with_tables_and_errors_of_outputs,
          a_perplexity_is_reached_in_rounds, a_target_that_cannot_be_met_is_refused_with_one_that_can,
          plan_says_what_can_be_chosen])
