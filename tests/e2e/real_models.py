"""Real trained models: figures equal to PyTorch's, and artifacts that Python programs open.

Skipped where the shared data is absent; what needs PyTorch is skipped where .venv-test is absent.
"""

import json
import pathlib
import subprocess

from driving import (QUICK, check, check_close, check_equal, main, sets, shared_data,
                     status_of, test_python)

# nll, perplexity and top-1 accuracy in PyTorch, fp32, first 200 windows of 256: the table of the shared data's README.
REFERENCE = {
    ("stories260K", "tinystories/train.txt"): (1.992792, 7.33598, 0.54875),
    ("stories260K", "mixed/heldout.txt"): (3.744618, 42.29284, 0.29886),
    ("babyllama_tok105", "tinystories/train.txt"): (1.171232, 3.22597, 0.69075),
    ("babyllama_tok105", "mixed/heldout.txt"): (2.182819, 8.87128, 0.50273),
    ("ref_llama_3M", "mixed/heldout.txt"): (3.207549, 24.71844, 0.35294),
    ("ref_llama_3M", "tinystories/train.txt"): (2.607457, 13.56451, 0.43849),
    ("ref_llama_3M", "wikitext2/valid.txt"): (2.859008, 17.44421, 0.41639),
}
TOLERANCE = 1e-4
COMPRESSED = ("stories260K", "babyllama_tok105")


def model_folder(name):
    return shared_data() / "models" / name / "hf"


def figures_equal_those_of_pytorch(shop):
    shared_data()
    for (model, text), (nll, perplexity, accuracy) in REFERENCE.items():
        found = shop.run("evaluate", model_folder(model), "--data", shared_data() / "text" / text, "--json").must_end_with(0).json
        check_equal(found["tokens"], 200 * 255, f"tokens of {model} on {text}")
        check_close(found["nll"], nll, TOLERANCE, f"nll of {model} on {text}")
        check_close(found["perplexity"], perplexity, TOLERANCE, f"perplexity of {model} on {text}")
        check(abs(found["top1_accuracy"] - accuracy) <= TOLERANCE, f"accuracy of {model} on {text}: {found}")


def first_part(shop, text, kilobytes):
    """The beginning of a shared text, whole lines."""
    file = shop.folder / f"{pathlib.Path(text).parent.name}-{kilobytes}k.txt"
    if not file.exists():
        with open(shared_data() / "text" / text, encoding="utf-8") as source:
            file.write_text("".join(source.readlines(kilobytes * 1024)), encoding="utf-8")
    return file


def compressed(shop, name):
    """A run of few tokens on stories: gates warn, the files are what counts."""
    run = shop.folder / name
    if not run.exists():
        warn = {f"gates__{gate}__severity": "warn" for gate in ("compression", "sparsity", "accuracy", "perplexity")}
        settings = dict(model__path=model_folder(name), output=run, data__cache=shop.tokens, data__sequence_length=256, pretrain__max_positions=256,
                        data__sources=f"[{first_part(shop, 'tinystories/train.txt', 400)}]", evaluation__windows=40,
                        data__evaluation=f"[{evaluation_text(shop)}]", evaluation__sequence_length=256,
                        training__tokens=20480, training__global_batch_tokens=2048, training__evaluate_every=5)
        shop.run("compress", QUICK, *sets(**settings, **warn), "--json").must_end_with(0)
    return run


def evaluation_text(shop):
    return first_part(shop, "mixed/heldout.txt", 100)


def a_real_model_goes_end_to_end(shop, name):
    run = compressed(shop, name)
    report = shop.run("report", run, "--json", ranks=0).must_end_with(0).json
    results = report["results"]
    check_equal(status_of(run)["state"], "passed", "status.json")
    check_equal(shop.run("verify", run / "artifacts", "--json", ranks=0).must_end_with(0).json["passed"], True, "verify")
    known = shop.run("evaluate", model_folder(name), "--data", evaluation_text(shop), "--windows", "40", "--json")
    check_equal(results["before"]["perplexity"], known.must_end_with(0).json["perplexity"], "perplexity before")
    packed = shop.run("evaluate", run, "--data", evaluation_text(shop), "--windows", "40", "--json").must_end_with(0).json
    check_equal(results["packed"]["perplexity"], packed["perplexity"], "perplexity of the packed artifact")
    check(results["packed"]["nll"] < results["quantized"]["nll"], "fine-tuning did not help")
    check(results["packed_bytes"] < results["fp16_bytes"] / 2, "packing saved less than half of fp16")


def stories260K_goes_end_to_end(shop):
    a_real_model_goes_end_to_end(shop, "stories260K")


def babyllama_goes_end_to_end(shop):
    a_real_model_goes_end_to_end(shop, "babyllama_tok105")


def python_opens_the_artifacts(shop):
    """Of both runs by one program: it takes longer to start than to read them."""
    python, runs = test_python(), [compressed(shop, name) for name in COMPRESSED]
    script = pathlib.Path(__file__).with_name("open_in_python.py")
    environment = dict(shop.environment, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    words = [str(word) for word in (python, script, evaluation_text(shop), 256, 40, *runs)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"open_in_python.py: {done.stderr[-3000:]}")
    opened = json.loads(done.stdout)
    check_equal(len(opened), len(runs), "runs that were opened")
    for name, run, found in zip(COMPRESSED, runs, opened):
        compare_opened(shop, name, run, found)


def compare_opened(shop, name, run, found):
    ours = shop.run("report", run, "--json", ranks=0).must_end_with(0).json
    dequantized = ours["series"]["evaluation/dequantized/perplexity"]["last_value"]
    check_close(found["perplexity"], dequantized, 1e-3, f"transformers' perplexity of {name}")
    check_equal(found["layers"], [layer["name"] for layer in ours["layers"]], "names in run.h5")
    check_equal(found["ternary"], ours["results"]["layers_quantized"], "ternary tensors in the packed file")
    check_equal(found["worst_difference"], 0.0, "dequantized file against hf/")


if __name__ == "__main__":
    main([figures_equal_those_of_pytorch, stories260K_goes_end_to_end, babyllama_goes_end_to_end,
          python_opens_the_artifacts])
