#!/usr/bin/env python3
"""Compares Tercet's tokenizers with the packages tokenizers and sentencepiece: python tokenizer_parity.py TEST_TEXT

Writes the packages' ids for every text with every tokenizer of the shared data into a temporary folder and lets the
program test_text compare (it reads the folder's name from TERCET_PARITY_DIR). Exit code 77: nothing to compare with.
Long texts are cut to CUT bytes, for the packages are slow on them, and every other tokenizer gets the first half of that,
the rest the second; with TERCET_PARITY_FULL=1 all get all.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import gguf
import numpy
import sentencepiece
import tokenizers

CUT = None if os.environ.get("TERCET_PARITY_FULL") == "1" else 1 << 18

QUIRKS = [
    "", " ", "  ", "\n", "\t\n \r\n", "Hello  world", "  leading", "trailing  ", "a\u0301 e\u0301\u0323 \u212b \ufb01 \u1e9b\u0323",
    "\uac00\u11a8 \u1100\u1161\u11a8 \u0344", "it's I'LL we'Re 'S \u017f '\u017f", "\u180ea\u0085b\u00a0c\u2028d\u3000e\x0bf",
    "12345 \u0661\u0662 \u00bd\u2160 x\u00b2", "<|endoftext|>a <|endoftext|> <|im_start|>user\n<s></s><unk>", "a<|endoftext|",
    "\u4f60\u597d\uff0c\u4e16\u754c \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", "\x00\x01\x7f", "\u2581 \u2581a\u2581\u2581 b", "a" * 3000,
    "x = [\n    1,\n\t2,\n]\n\n\n\n   y" + " " * 40 + "z", "\ufeffBOM", "e" + "\u0301" * 30, "\u0390 \u03b9\u0308\u0301", "\U0010ffff\ue000",
]
ALPHABET = (
    list("abcXYZ019 '!?.,-_\n\t  <|>") + list("\u00e9\u00df\u0130\u0131\u0301\u0308\u0323\u1100\u1161\u11a8\uac01\u0915\u093c\u0e33\u4e2d\u3042\u30fc\u2019\u201c\u2014\u2581\u00a0\u2003\u180e\u200d\u00bd\u2167\u0664")
    + ["\U0001f999", "\U0001d518", "'s", "'LL", "\r\n", "   ", "<s>", "<|endoftext|>"]
)
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def shared_data():
    root = os.environ.get("TERCET_SHARED") or pathlib.Path(__file__).resolve().parents[3] / "shared"
    return pathlib.Path(root) / "data"


def quirk_texts(folder):
    draw = random.Random(7)
    texts = QUIRKS + ["".join(draw.choices(ALPHABET, k=draw.randint(1, 60))) for _ in range(150)]
    texts.append("".join(draw.choices(ALPHABET, k=20000)))
    paths = []
    for index, text in enumerate(texts):
        path = folder / f"quirk{index}.txt"
        path.write_bytes(text.encode())
        paths.append(path)
    return paths


def whole_characters(folder, sources):
    """Copies of texts, cut to CUT bytes and without what is not UTF-8 (a few end in the middle of a character)."""
    for source in sources:
        path = folder / f"{source.parent.name}_{source.name}"
        path.write_bytes(source.read_bytes()[:CUT].decode(errors="ignore").encode())
        yield path


def halves(texts):
    """The texts for even and those for odd tokenizers."""
    if CUT is None:
        return texts, texts
    parts = [], []
    for path in texts:
        text = path.read_bytes().decode()
        for index, part in enumerate((text[:len(text) // 2], text[len(text) // 2:])):
            half = path.with_name(f"half{index}_{path.name}")
            half.write_bytes(part.encode())
            parts[index].append(half)
    return parts


def copy_into(folder, name, source, target):
    (folder / name).mkdir()
    shutil.copy(source, folder / name / target)
    return folder / name


def variant(folder, name, base, **changes):
    """A tokenizer.json made from another one, with sections replaced; "model." keys change the model."""
    document = json.loads(base.read_text())
    for key, value in changes.items():
        if key.startswith("model_"):
            document["model"][key[len("model_"):]] = value
        else:
            document[key] = value
    (folder / name).mkdir()
    (folder / name / "tokenizer.json").write_text(json.dumps(document))
    return folder / name


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(number, content, **flags):
    token = {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}
    return token | flags


def variants(folder, data):
    """Pre-tokenizers, normalizers and flags that none of the tokenizers at hand uses."""
    gpt2 = data / "tokenizers/gpt2/tokenizer.json"
    llama = data / "models/stories260K/hf/tokenizer.json"
    raw_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    nfc = {"type": "NFC"}
    tokens = [added(50256, "<|endoftext|>", special=True), added(50257, "abc", single_word=True, lstrip=True, rstrip=True),
              added(50258, "X", lstrip=True), added(50259, "\u00e9 ", normalized=True), added(50260, "19", rstrip=True)]
    yield variant(folder, "llama3", gpt2, pre_tokenizer=sequence(split(LLAMA3), raw_bytes), model_ignore_merges=True)
    yield variant(folder, "qwen2", gpt2, normalizer=nfc, pre_tokenizer=sequence(split(QWEN2), raw_bytes))
    yield variant(folder, "digits", gpt2, pre_tokenizer=sequence(
        {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}))
    yield variant(folder, "added", gpt2, normalizer=nfc, added_tokens=tokens)
    for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield variant(folder, f"split{behavior}", gpt2, pre_tokenizer=sequence(split(r"\s|\d\w?", behavior), raw_bytes))
        yield variant(folder, f"invert{behavior}", gpt2, pre_tokenizer=sequence(split(r"\W", behavior, True), raw_bytes))
    for scheme in ("always", "first", "never"):
        space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": scheme != "first"}
        yield variant(folder, f"metaspace_{scheme}", llama, normalizer=None, pre_tokenizer=space, decoder=space)
    yield variant(folder, "unfused", llama, model_byte_fallback=False, model_fuse_unk=False)
    for name in ("NFKC", "NFD", "NFKD", "Lowercase", "Strip"):
        form = {"type": name} | ({"strip_left": True, "strip_right": True} if name == "Strip" else {})
        yield variant(folder, f"form{name}", gpt2, normalizer=form)


def real_tokenizers(folder, data):
    yield data / "tokenizers/gpt2"
    yield data / "tokenizers/minimind"
    yield copy_into(folder, "neox", data / "tokenizers/gpt_neox_20b/20B_tokenizer.json", "tokenizer.json")
    files = copy_into(folder, "gpt2_files", data / "tokenizers/gpt2/encoder.json", "vocab.json")
    shutil.copy(data / "tokenizers/gpt2/vocab.bpe", files / "merges.txt")
    yield files
    for model in sorted(data.glob("models/*/hf/tokenizer.json")):
        yield model.parent


def sentencepiece_models(folder, data):
    yield data / "tokenizers/llama2"
    for version in ("tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3"):
        yield copy_into(folder, version, data / "tokenizers/mistral" / version, "tokenizer.model")
    yield copy_into(folder, "stories_spm", data / "models/stories260K/hf/tokenizer.model", "tokenizer.model")


def package_tokenizer(folder):
    if (folder / "tokenizer.json").exists():
        loaded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        return (lambda text: loaded.encode(text, add_special_tokens=False).ids,
                lambda ids: loaded.decode(ids, skip_special_tokens=False))
    if (folder / "tokenizer.model").exists():
        loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return loaded.encode, loaded.decode
    loaded = tokenizers.ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    loaded.add_special_tokens(["<|endoftext|>"])
    return (lambda text: loaded.encode(text, add_special_tokens=False).ids,
            lambda ids: loaded.decode(ids, skip_special_tokens=False))


def starcoder(folder, data):
    """The tokenizer.json of StarCoder, whose vocabulary is at hand only in a GGUF file."""
    fields = gguf.GGUFReader(data / "gguf_vocab/ggml-vocab-starcoder.gguf").fields

    def text(key):
        return [bytes(fields[key].parts[index]).decode() for index in fields[key].data]

    parts = ({"type": "Digits", "individual_digits": True},
             {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True})
    vocabulary = {token: number for number, token in enumerate(text("tokenizer.ggml.tokens"))}
    return variant(folder, "starcoder", data / "tokenizers/gpt2/tokenizer.json", added_tokens=[],
                   pre_tokenizer=sequence(*parts), model_vocab=vocabulary, model_merges=text("tokenizer.ggml.merges"))


def gguf_cases(folder, data):
    """The vectors of llama.cpp that test_text does not compare by itself (MPT uses GPT-NeoX's tokenizer)."""
    for name, tokenizer in (("mpt", folder / "neox"), ("starcoder", starcoder(folder, data))):
        path = data / "gguf_vocab" / f"ggml-vocab-{name}.gguf"
        cases = pathlib.Path(f"{path}.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
        for index, (case, ids) in enumerate(zip(cases, pathlib.Path(f"{path}.out").read_text().split("\n"))):
            source = folder / f"gguf_{name}_{index}.txt"
            source.write_bytes(case)
            yield source, tokenizer, [int(number) for number in ids.split()]


def write_case(folder, manifest, source, tokenizer, ids, decoded):
    stem = folder / f"case{len(manifest)}"
    numpy.asarray(ids, dtype=numpy.int32).tofile(f"{stem}.ids")
    shown = ""
    if decoded is not None:
        shown = f"{stem}.decoded"
        pathlib.Path(shown).write_bytes(decoded.encode())
    manifest.append(f"{source}\t{tokenizer}\t{stem}.ids\t{shown}\n")


def write_cases(folder, data):
    long_texts = list(whole_characters(folder, sorted(path for path in (data / "text").glob("*/*") if path.is_file())))
    quirks = quirk_texts(folder)
    manifest = []
    made = list(variants(folder, data))
    short = {made_folder: quirks + [folder / "mixed_heldout.txt"] for made_folder in made}
    parts = halves(long_texts)
    for number, tokenizer in enumerate([*real_tokenizers(folder, data), *sentencepiece_models(folder, data), *made]):
        encode, decode = package_tokenizer(tokenizer)
        for source in short.get(tokenizer, parts[number % 2] + quirks):
            text = source.read_bytes().decode()
            ids = encode(text)
            small = source.stat().st_size < 300_000 and (tokenizer / "tokenizer.json").exists()
            write_case(folder, manifest, source, tokenizer, ids, decode(ids) if small else None)
    for source, tokenizer, ids in gguf_cases(folder, data):
        write_case(folder, manifest, source, tokenizer, ids, None)
    (folder / "manifest.tsv").write_text("".join(manifest))


def main():
    data = shared_data()
    if not (data / "README.md").exists():
        print("skipped: the shared data is not here")
        return 77
    with tempfile.TemporaryDirectory(prefix="tercet-tokenizer-parity-") as name:
        write_cases(pathlib.Path(name), data)
        command = [sys.argv[1], "--gtest_filter=TokenizerParity.*"]
        return subprocess.run(command, env=os.environ | {"TERCET_PARITY_DIR": name}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
