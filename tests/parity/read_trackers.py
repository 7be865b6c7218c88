"""What other programs read in the files that the trackers write, by their own readers.

usage: read_trackers.py tensorboard FOLDER | wandb RUN_FOLDER | prometheus FILE      (prints JSON)
"""

import json
import math
import pathlib
import sys


def tensorboard(folder):
    """{"scalars": {tag: [[step, value, wall time]...]}, "texts": {tag: text}}, by TensorBoard's EventAccumulator."""
    from tensorboard.backend.event_processing import event_accumulator

    everything = {"scalars": 0, "tensors": 0}  # 0: no sample is dropped
    reader = event_accumulator.EventAccumulator(str(folder), size_guidance=everything)
    reader.Reload()
    scalars = {tag: [[e.step, e.value, e.wall_time] for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    texts = {}
    for tag in reader.Tags()["tensors"]:
        assert reader.SummaryMetadata(tag).plugin_data.plugin_name == "text", tag
        texts[tag] = reader.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
    return {"scalars": scalars, "texts": texts}


def wandb_file(run):
    (file,) = pathlib.Path(run).glob("run-*.wandb")
    return file


def wandb(run):
    """{"run": ..., "config": ..., "rows": [...], "axes": {glob: axis}, "summary": ..., "exit": code}, by wandb's
    DataStore, which checks every checksum."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal import datastore

    store = datastore.DataStore()
    store.open_for_scan(str(wandb_file(run)))
    found = {"config": {}, "rows": [], "axes": {}, "summary": {}, "exit": None}
    number = 0
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        number += 1
        assert record.num == number, (record.num, number)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = [record.run.entity, record.run.project, record.run.run_id, record.run.display_name]
            found["began"] = record.run.start_time.seconds + record.run.start_time.nanos / 1e9
            found["config"] = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            row = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            assert row["_step"] == record.history.step.num == len(found["rows"]), row
            found["rows"].append(row)
        elif kind == "summary":
            found["summary"].update({i.nested_key[0]: json.loads(i.value_json) for i in record.summary.update})
        elif kind == "metric" and record.metric.glob_name:
            found["axes"][record.metric.glob_name] = record.metric.step_metric
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def prometheus(file):
    """[[name, labels, value]...], by the parser of prometheus_client."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = []
    for family in text_string_to_metric_families(pathlib.Path(file).read_text(encoding="utf-8")):
        assert family.type == "gauge" and family.documentation, family
        samples += [[sample.name, sample.labels, sample.value] for sample in family.samples]
    return samples


def series_of_rows(rows):
    """{series: [[step, value, wall time]...]} of wandb's rows."""
    series = {}
    for row in rows:
        for name, value in row.items():
            group = name.split("/")[0]
            if not name.startswith("_") and name != group + "/step":
                series.setdefault(name, []).append([row[group + "/step"], value, row["_timestamp"]])
    return series


def metrics_of(lines):
    """{series: [[step, value, wall time]...]} of a journal: steps that a later attempt repeated count as it has them."""
    series = {}
    for line in lines:
        if line["kind"] == "metric":
            points = series.setdefault(line["name"], [])
            while points and points[-1][0] >= line["step"]:
                points.pop()
            points.append([line["step"], float(line["value"]), line["t"]])
    return series


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


if __name__ == "__main__":
    readers = {"tensorboard": tensorboard, "wandb": wandb, "prometheus": prometheus}
    print(json.dumps(readers[sys.argv[1]](sys.argv[2])))
