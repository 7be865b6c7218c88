"""docs/metrics.md has every figure that a run writes down."""

import json
import re

from driving import PROJECT, check, check_equal, main, sets

# Everything that records a series of its own.
EVERYTHING = {"blockwise__enabled": "true", "blockwise__samples": 8, "blockwise__epochs": 1, "training__tokens": 10240,
              "training__polish_tokens": 4096, "training__hidden_loss": 1, "training__relation_loss": 0.5,
              "checkpoint__every_steps": 2,
              "target__perplexity_degradation": 0.5, "allocation__samples": 2, "allocation__rounds": 2,
              "allocation__formats": "[ternary, int8]"}


def a_run(shop):
    run = shop.folder / "everything"
    if not run.exists():
        task = shop.folder / "lambada.jsonl"
        task.write_text("".join(json.dumps({"text": f"import boat{i} from harbour"}) + "\n" for i in range(4)))
        tasks = f"[{{name: lambada, path: {task}}}]"
        shop.run(*shop.quick("everything", **EVERYTHING, evaluation__tasks=tasks)).must_end_with(0)
    return run


def page():
    return (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")


def named(text):
    """The names in the first cells of the tables, each with the unit in the last cell of its row."""
    units = {}
    for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE):
        cells = row.split(" | ")
        for name in re.findall(r"`([^`]+)`", cells[0]):
            units[name] = cells[-1]
    return units


def series_of_the_page():
    """Patterns of whole names, each with its unit: a heading `training/… and polish/…` is a prefix of its rows."""
    found = {}
    for section in page().partition("\n## compression")[0].split("\n### ")[1:]:
        heading = section.partition("\n")[0]
        prefixes = [word.replace("/…", "/").replace("WHEN", "[a-z ]+") for word in re.findall(r"\S+/…|\S+/WHEN/…", heading)]
        for name, unit in named(section).items():
            for prefix in prefixes or [""]:
                found[prefix + name.replace("TASK", "[a-z_]+")] = unit
    return found


def every_series_of_a_run_is_in_the_page_with_its_unit(shop):
    recorded = {}
    with open(a_run(shop) / "journal.jsonl", encoding="utf-8") as journal:
        for line in map(json.loads, journal):
            if line["kind"] == "metric":
                recorded[line["name"]] = line["unit"]
    patterns = series_of_the_page()
    missing = []
    for name, unit in sorted(recorded.items()):
        units = [told for pattern, told in patterns.items() if re.fullmatch(pattern, name)]
        if unit not in units:
            missing.append(f"{name} ({unit}); the page says {units}")
    check(not missing, "\n".join(missing))
    unseen = [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in recorded)]
    check_equal(unseen, ["evaluation/[a-z ]+/[a-z_]+/acc_norm"], "series in the page that the run has not (another task has it)")


def every_metric_of_the_metadata_is_in_the_page(shop):
    metadata, = a_run(shop).glob("*/compression_metadata.json")
    found = json.loads(metadata.read_text(encoding="utf-8"))
    names = {*found["metrics"], *found["more_metrics"]}
    check_equal(len(found["metrics"]), 19, "names of the original system")
    told = named(page().partition("\n## compression")[2])
    check_equal(set(told), names, "names in docs/metrics.md")


if __name__ == "__main__":
    main([every_series_of_a_run_is_in_the_page_with_its_unit, every_metric_of_the_metadata_is_in_the_page])
