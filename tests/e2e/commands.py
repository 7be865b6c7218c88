"""The commands that look at models, artifacts and runs: what they say, and what they say of the wrong thing."""

import json
import zipfile

from driving import DEQUANTIZED, PACKED, QUICK, check, check_close, check_equal, main, sets
from random_models import config_of, random_model


def rounded(shop):
    """A run without fine-tuning; most tests look at it."""
    run = shop.folder / "run"
    if not run.exists():
        shop.run(*shop.quick("run", training__enabled="false")).must_end_with(0)
    return run


def must_fail(shop, code, words, *arguments):
    result = shop.run(*arguments, ranks=0).must_end_with(code)
    check_equal((len(result.errors()), result.out), (1, ""), f"error messages and stdout of {arguments}")
    for word in words:
        check(str(word) in result.err, f"the message does not name {word!r}: {result.err}")


def inspect_lists_the_tensors_of_a_model(shop):
    text = shop.run("inspect", shop.model, ranks=0).must_end_with(0).out
    for words in ("llama model", "parameters", "model.layers.1.self_attn.q_proj.weight", "F32", str(shop.model)):
        check(words in text, f"{words!r} is missing in:\n{text}")
    found = shop.run("inspect", shop.model, "--json", ranks=0).must_end_with(0).json
    counted = 0
    for tensor in found["tensors"]:
        size = 1
        for extent in tensor["shape"]:
            size *= extent
        counted += size
    check_equal((found["kind"], found["parameters"]), ("huggingface", counted), "kind and parameters")


def inspect_of_a_packed_file_counts_bits_and_zeros(shop):
    file = rounded(shop) / "artifacts" / PACKED
    found = shop.run("inspect", file, "--json", ranks=0).must_end_with(0).json
    check_equal((found["kind"], found["bytes"]), ("packed", file.stat().st_size), "kind and bytes")
    check_close(found["ratio_fp32"], 4 * found["parameters"] / found["bytes"], 1e-12, "ratio")
    check("ranks" not in found["provenance"], "the packed file tells how it was made, not only what it is")
    ternary = [tensor for tensor in found["tensors"] if tensor["format"] == "ternary"]
    check_equal(len(ternary), 14, "ternary tensors of 2 blocks with 7 linear layers each")
    for tensor in ternary:
        check(2 <= tensor["bits_per_weight"] < 3 and 0 < tensor["sparsity"] < 1, f"figures of {tensor}")
    text = shop.run("inspect", file.parent, ranks=0).must_end_with(0).out
    check("packed llama model" in text and "ternary" in text and ternary[0]["name"] in text, text)


def inspect_of_a_run_is_its_report(shop):
    run = rounded(shop)
    report = shop.run("report", run, ranks=0).must_end_with(0).out
    for words in ("perplexity", "gate", "sparsity", "model.layers.", "calibrate", "rank"):
        check(words in report, f"{words!r} is missing in:\n{report}")
    check_equal(shop.run("inspect", run, ranks=0).must_end_with(0).out, report, "inspect of a run")


def a_plan_foresees_what_the_job_makes(shop):
    artifacts = rounded(shop) / "artifacts"
    plan = ("plan", QUICK, *sets(model__path=shop.model, output=shop.folder / "none", data__cache=shop.tokens))
    found = shop.run(*plan, "--json", ranks=0).must_end_with(0).json
    for name in (PACKED, DEQUANTIZED, "hf/model.safetensors"):
        actual = (artifacts / name).stat().st_size
        check(abs(found["artifacts"][name] - actual) <= 0.01 * actual, f"{name}: {actual} B, {found}")
    memory = found["memory_per_rank"]
    largest = memory["stages"][memory["largest_stage"]]["total"]
    check_equal(memory["total"], memory["process"] + largest, "total memory")
    check(found["expected_tokens_per_second"] > 0 and found["steps"] > 0, f"no time: {found}")
    text = shop.run(*plan, ranks=0).must_end_with(0).out
    for words in ("memory of one rank", PACKED, "tokens/s", "world: 1 ranks"):
        check(words in text, f"{words!r} is missing in:\n{text}")


def a_plan_without_training_expects_no_time(shop):
    plan = ("plan", QUICK, *sets(model__path=shop.model, output=shop.folder / "none", training__enabled="false"))
    found = shop.run(*plan, "--json", ranks=0).must_end_with(0).json
    check_equal(found["expected_training_seconds"], 0, "time")
    check("fine-tune" not in found["memory_per_rank"]["stages"], f"memory for training: {found['memory_per_rank']}")


def a_plan_refuses_what_the_job_would_refuse(shop):
    def plan(**settings):
        settings = {"model__path": shop.model, "output": shop.folder / "none", **settings}
        return ("plan", QUICK, *sets(**settings))
    must_fail(shop, 64, ("output", "needed"), *plan(output=""))
    must_fail(shop, 65, ("/nowhere/model",), *plan(model__path="/nowhere/model"))
    must_fail(shop, 65, ("/nowhere/text",), *plan(data__sources="[/nowhere/text]"))
    must_fail(shop, 65, ("/nowhere/text",), *plan(data__evaluation="[/nowhere/text]"))
    must_fail(shop, 64, ("calibration.samples", "calibration.shards"), *plan(calibration__samples=3))
    must_fail(shop, 64, ("500 ranks", "training.global_batch_tokens"), *plan(), "--world-size", "500")
    must_fail(shop, 64, ("quantization.skip", "nothing.like.it"), *plan(quantization__skip="[nothing.like.it]"))


def evaluate_prints_a_table_and_compares_with_a_reference(shop):
    arguments = ("--data", shop.text, "--sequence-length", "64", "--windows", "5")
    text = shop.run("evaluate", rounded(shop), *arguments, "--against", shop.model, ranks=0).must_end_with(0).out
    for words in ("tokens", "perplexity", "top1_accuracy", "top1_agreement", "kl"):
        check(words in text, f"{words!r} is missing in:\n{text}")
    found = shop.run("evaluate", shop.model, *arguments, "--tokenizer", rounded(shop) / "artifacts" / "tokenizer", "--json",
                     ranks=0).must_end_with(0).json
    check_equal(found["tokens"], 5 * 63, "tokens")


def evaluate_refuses_what_it_cannot_measure(shop):
    def evaluate(model, *more):
        return ("evaluate", model, "--data", shop.text, *more)
    must_fail(shop, 65, ("/nowhere", "does not exist"), *evaluate("/nowhere"))
    must_fail(shop, 65, ("config.json", "Hugging Face folder"), *evaluate(shop.folder))
    must_fail(shop, 64, ("--sequence-length", "max_position_embeddings"), *evaluate(shop.model, "--sequence-length", 9999))
    must_fail(shop, 64, ("--windows",), *evaluate(shop.model, "--windows", "-1"))
    must_fail(shop, 65, ("/nowhere.txt",), "evaluate", shop.model, "--data", "/nowhere.txt", "--sequence-length",
              "64")
    short = shop.folder / "short.txt"
    short.write_text("too short", encoding="utf-8")
    must_fail(shop, 65, ("nothing to evaluate on", "64 tokens"), "evaluate", shop.model, "--data", short,
              "--sequence-length", "64")


def a_kernel_file_is_mapped_only_where_it_belongs(shop):
    run = shop.folder / "mapped"
    shop.run(*shop.quick("mapped", training__enabled="false", export__formats="[kernels]")).must_end_with(0)
    artifacts, file = run / "artifacts", run / "artifacts" / "kernels.safetensors"
    shop.run("verify", run, ranks=0).must_end_with(0)
    said = json.loads((artifacts / "compression_metadata.json").read_text(encoding="utf-8"))
    check("15 of 15" in said["exports"]["kernels"], f"what was chosen: {said['exports']}")
    check("kernels.safetensors" in said["files"], "the metadata does not list the file")
    text = ("generate", run, "--prompt", "import email", "--tokens", 20, "--weights", "packed", "--json")
    mapped = shop.run(*text, ranks=0).must_end_with(0)
    whole = file.read_bytes()
    file.write_bytes(whole[:-64])
    must_fail(shop, 65, (file, "cut off"), *text)
    file.unlink()
    reordered = shop.run(*text, ranks=0).must_end_with(0)
    check_equal(mapped.json["ids"], reordered.json["ids"], "token ids with and without the file")
    file.write_bytes(whole)
    other = rounded(shop) / "artifacts" / PACKED
    (artifacts / PACKED).write_bytes(other.read_bytes())
    must_fail(shop, 65, (artifacts / PACKED, "SHA-256"), *text)
    metadata = (artifacts / "compression_metadata.json").rename(run / "metadata.json")  # as if taken away alone
    stale = shop.run(*text, ranks=0).must_end_with(0)
    check("another packed file" in stale.err and str(file) in stale.err, f"no warning: {stale.err}")
    metadata.rename(artifacts / "compression_metadata.json")
    found = shop.run("verify", run, ranks=0).must_end_with(65)
    check("kernels.safetensors: it was made of another packed file" in found.out, found.out)


def exchanged(file, one, other):
    """The file with the bytes of two records of a zip archive in each other's place."""
    with zipfile.ZipFile(file) as archive:
        one, other = archive.read(one), archive.read(other)
    whole = file.read_bytes()
    check(len(one) == len(other) and one != other, "records that cannot be exchanged")
    first, second = whole.index(one), whole.index(other)
    changed = bytearray(whole)
    changed[first:first + len(one)], changed[second:second + len(one)] = other, one
    return bytes(changed)


def a_damaged_artifact_computes_nothing(shop):
    run = shop.folder / "damaged"
    shop.run(*shop.quick("damaged", training__enabled="false", export__formats="[kernels]")).must_end_with(0)
    packed, kernels = run / "artifacts" / PACKED, run / "artifacts" / "kernels.safetensors"
    text = ("--prompt", "import email", "--tokens", 2, "--json")
    whole = kernels.read_bytes()
    kernels.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    must_fail(shop, 65, (kernels, "SHA-256"), "generate", run, *text)
    shop.run("generate", run, *text, "--weights", "dense", ranks=0).must_end_with(0)  # does not look at that file
    kernels.write_bytes(whole)
    with zipfile.ZipFile(packed) as archive:
        sizes = {}
        for record in archive.infolist():
            sizes.setdefault((record.file_size, "/data/" in record.filename), []).append(record.filename)
    alike = max((names for (size, data), names in sizes.items() if data), key=lambda names: (len(names) > 1, len(names)))
    alone = shop.folder / "alone.pt"
    alone.write_bytes(exchanged(packed, *alike[:2]))
    tokenizer = ("--tokenizer", run / "artifacts" / "tokenizer")
    must_fail(shop, 65, (alone, "CRC-32"), "generate", alone, *tokenizer, *text)
    alone.write_bytes(packed.read_bytes())
    shop.run("generate", alone, *tokenizer, *text, ranks=0).must_end_with(0)


def an_instruction_set_is_chosen_and_a_lacking_one_refused(shop):
    for name in ("portable", "avx2"):
        ran = shop.run(*shop.quick(name, training__enabled="false", kernels__instruction_set=name), ranks=1)
        if ran.code == 64:  # a processor without
            check(f"this processor has no {name}" in ran.err and not (shop.folder / name).exists(), ran.err)
            continue
        metadata = (shop.folder / name / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8")
        check_equal(json.loads(metadata)["speed"]["instruction_set"], name, "what was multiplied with")
    must_fail(shop, 64, ("kernels.instruction_set", "avx1024"),
              *shop.quick("none", kernels__instruction_set="avx1024"))


def a_prompt_beyond_the_context_is_refused_before_anything_is_written(shop):
    must_fail(shop, 65, ("the prompt has", "positions"), "generate", shop.model, "--prompt", "word " * 3000)


def bench_sets_an_artifact_beside_itself_and_the_original(shop):
    bench = ("bench", rounded(shop), "--prompt-tokens", "8", "--new-tokens", "4", "--repetitions", "1", "--json")
    alone = shop.run(*bench, ranks=0).must_end_with(0).json["models"]
    check_equal([row["name"] for row in alone], ["packed", "dequantized, fp32", "dequantized, bf16"], "rows")
    beside = shop.run(*bench, "--against", shop.model, ranks=0).must_end_with(0).json["models"]
    check_equal([row["name"] for row in beside], ["packed", "dequantized, fp32", "original, fp32", "original, bf16"], "rows")
    packed, whole, half = (row["bytes_per_token"] for row in alone)
    check(packed < half < whole, f"bytes read for a token: {alone}")


def gpt2(shop):
    """Of random weights: biases, learned positions, one matrix for queries, keys and values; matrices [in, out]."""
    hidden, layers, positions, vocabulary = 64, 2, 128, config_of(shop.model)["vocab_size"]
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": vocabulary, "n_embd": hidden,
              "n_layer": layers, "n_head": 4, "n_positions": positions, "n_inner": None}
    shapes = {"transformer.wte.weight": [vocabulary, hidden], "transformer.wpe.weight": [positions, hidden]}
    for block in range(layers):
        prefix = f"transformer.h.{block}."
        for name, sizes in (("attn.c_attn", (hidden, 3 * hidden)), ("attn.c_proj", (hidden, hidden)),
                            ("mlp.c_fc", (hidden, 4 * hidden)), ("mlp.c_proj", (4 * hidden, hidden))):
            shapes.update({f"{prefix}{name}.weight": list(sizes), f"{prefix}{name}.bias": [sizes[1]]})
        shapes.update({f"{prefix}ln_{n}.{part}": [hidden] for n in (1, 2) for part in ("weight", "bias")})
    shapes.update({f"transformer.ln_f.{part}": [hidden] for part in ("weight", "bias")})
    return random_model(shop, shop.folder / "gpt2", config, shapes)


def gpt2_is_multiplied_packed_like_the_others(shop):
    run = shop.folder / "gpt2-run"
    shop.run(*shop.quick(run.name, model__path=gpt2(shop), training__enabled="false", export__formats="[kernels]",
                         gates__gradient_flow__severity="warn")).must_end_with(0)
    shop.run("verify", run, ranks=0).must_end_with(0)
    speed = shop.run("report", run, "--json", ranks=0).must_end_with(0).json["results"]["speed"]
    check(speed.get("packed", {}).get("median", 0) > 0, f"the speed gate measured nothing: {speed}")
    said = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check("9 of 9" in said["exports"]["kernels"], f"what was chosen: {said['exports']}")
    evaluate = ("evaluate", run, "--data", shop.text, "--sequence-length", "64", "--windows", "20", "--json")
    dense, packed = (shop.run(*evaluate, "--weights", weights, ranks=0).must_end_with(0).json["nll"]
                     for weights in ("dense", "packed"))
    check_close(packed, dense, 1e-5, "nll by packed kernels")
    bench = ("bench", run, "--prompt-tokens", "8", "--new-tokens", "4", "--repetitions", "1", "--json")
    rows = shop.run(*bench, ranks=0).must_end_with(0).json["models"]
    check_equal([row["name"] for row in rows], ["packed", "dequantized, fp32", "dequantized, bf16"], "rows")
    generate = ("generate", run, "--prompt", "import email", "--tokens", 20, "--weights", "packed", "--json")
    mapped = shop.run(*generate, ranks=0).must_end_with(0).json["ids"]
    (run / "artifacts" / "kernels.safetensors").unlink()
    check_equal(shop.run(*generate, ranks=0).must_end_with(0).json["ids"], mapped, "token ids without the kernel file")


def bench_says_how_many_matrices_are_packed(shop):
    run = shop.folder / "some-packed"
    shop.run(*shop.quick(run.name, training__enabled="false", quantization__skip="['*down_proj*']")).must_end_with(0)
    bench = ("bench", run, "--prompt-tokens", "8", "--new-tokens", "4", "--repetitions", "1", "--json")
    rows = shop.run(*bench, ranks=0).must_end_with(0).json["models"]
    check_equal(rows[0]["name"], "packed (13 of 15 matrices)", "the row of one with two matrices in fp16")


def weights_beyond_a_size_are_in_shards(shop):
    run = shop.folder / "shards"
    settings = {"training__enabled": "false", "export__shard_size_mb": "0.1"}
    plan = ("plan", QUICK, *sets(model__path=shop.model, output=shop.folder / "none", **settings), "--json")
    check("hf/model-*.safetensors" in shop.run(*plan, ranks=0).must_end_with(0).json["artifacts"], "the plan knows of no shards")
    shop.run(*shop.quick("shards", **settings)).must_end_with(0)
    folder = run / "artifacts" / "hf"
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    files = {path.name for path in folder.glob("model-*.safetensors")}
    check_equal(set(index["weight_map"].values()), files, "shards on disk and in the index")
    check(len(files) > 2 and not (folder / "model.safetensors").exists(), f"no shards: {files}")
    shop.run("verify", run, ranks=0).must_end_with(0)
    evaluate = ("--data", shop.text, "--sequence-length", "64", "--windows", "5", "--json")
    whole = shop.run("evaluate", rounded(shop) / "artifacts" / "hf", *evaluate, ranks=0).must_end_with(0).json
    cut = shop.run("evaluate", folder, *evaluate, ranks=0).must_end_with(0).json
    check_equal(cut["perplexity"], whole["perplexity"], "perplexity in shards")


def the_wrong_kind_of_folder_is_named(shop):
    must_fail(shop, 65, ("/nowhere", "does not exist"), "inspect", "/nowhere")
    must_fail(shop, 65, (shop.folder, "config.json"), "inspect", shop.folder)
    must_fail(shop, 65, (shop.model, "holds no artifacts"), "verify", shop.model)
    must_fail(shop, 74, (shop.model, "holds no run"), "report", shop.model)
    broken = shop.folder / "broken.pt"
    broken.write_bytes(b"not a zip file")
    must_fail(shop, 65, (broken,), "inspect", broken)


if __name__ == "__main__":
    main([inspect_lists_the_tensors_of_a_model, inspect_of_a_packed_file_counts_bits_and_zeros,
          inspect_of_a_run_is_its_report, a_plan_foresees_what_the_job_makes, a_plan_without_training_expects_no_time,
          a_plan_refuses_what_the_job_would_refuse, evaluate_prints_a_table_and_compares_with_a_reference,
          evaluate_refuses_what_it_cannot_measure, a_kernel_file_is_mapped_only_where_it_belongs,
          a_damaged_artifact_computes_nothing, an_instruction_set_is_chosen_and_a_lacking_one_refused,
          a_prompt_beyond_the_context_is_refused_before_anything_is_written,
          bench_sets_an_artifact_beside_itself_and_the_original, gpt2_is_multiplied_packed_like_the_others,
          bench_says_how_many_matrices_are_packed, weights_beyond_a_size_are_in_shards,
          the_wrong_kind_of_folder_is_named])
