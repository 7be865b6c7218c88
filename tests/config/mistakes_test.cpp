// Every kind of mistake, and where the message says it is.
#include <gtest/gtest.h>

#include "config/config_file.hpp"
#include "tercet/base/random.hpp"

namespace tercet {
namespace {

struct Mistake {
  const char* name;
  const char* text;
  const char* message;
};

class EachMistake : public testing::TestWithParam<Mistake> {};

TEST_P(EachMistake, IsNamedWithItsPlace) {
  EXPECT_EQ(mistakes(GetParam().text), GetParam().message);
}

const Mistake kKeyMistakes[] = {
    {"Misspelt", "training:\n  tokns: 5\n",
     "job.yaml:2:3: training.tokns: unknown key; did you mean 'training.tokens'?"},
    {"MisspeltSection", "trainig: {tokens: 5}\n", "job.yaml:1:1: trainig: unknown key; did you mean 'training'?"},
    {"InTheWrongSection", "optimizer: adamw\n",
     "job.yaml:1:1: optimizer: unknown key; did you mean 'training.optimizer'?"},
    {"LikeNothing", "zzzzzzzzqq: 1\n", "job.yaml:1:1: zzzzzzzzqq: unknown key"},
    {"Twice", "seed: 1\nname: a\nseed: 1\n", "job.yaml:3:1: seed: given twice (first in line 1)"},
    {"SectionTwice", "log: {level: info}\nlog: {interval_s: 3}\n", "job.yaml:2:1: log: given twice (first in line 1)"},
    {"Dotted", "training.tokens: 8192\n",
     "job.yaml:1:1: training.tokens: must be written nested, each part on its own line, not with dots"},
    {"ListAsKey", "? [a]\n: 1\n", "job.yaml:1:3: a key must be a word, not a list"},
    {"SourceKey", "data:\n  sources:\n    - {path: a, wieght: 2}\n",
     "job.yaml:3:17: data.sources[0].wieght: unknown key; did you mean 'weight'?"},
    {"TaskKey", "evaluation: {tasks: [{name: piqa, path: a, limt: 3}]}\n",
     "job.yaml:1:44: evaluation.tasks[0].limt: unknown key; did you mean 'limit'?"},
    {"TaskWithoutPath", "evaluation: {tasks: [{name: piqa}]}\n", "job.yaml:1:22: evaluation.tasks[0]: needs a path"},
    {"TaskWithoutName", "evaluation: {tasks: [{path: a}]}\n",
     "job.yaml:1:22: evaluation.tasks[0]: needs the name of a task"},
    {"TaskAsPath", "evaluation: {tasks: [a.jsonl]}\n",
     "job.yaml:1:22: evaluation.tasks[0]: must be {name: hellaswag, path: val.jsonl} or the like, not 'a.jsonl'"},
    {"SourceWithoutPath", "data: {sources: [{weight: 2}]}\n", "job.yaml:1:18: data.sources[0]: needs a path"},
};
const Mistake kNumberMistakes[] = {
    {"Octal", "seed: 010\n", "job.yaml:1:7: seed: '010' looks octal; write it without leading zeros"},
    {"OctalFraction", "log: {interval_s: 00.5}\n",
     "job.yaml:1:19: log.interval_s: '00.5' looks octal; write it without leading zeros"},
    {"Hexadecimal", "seed: 0x10\n", "job.yaml:1:7: seed: must be a whole number, not '0x10'; write it in decimal"},
    {"Separators", "seed: 1_000\n",
     "job.yaml:1:7: seed: must be a whole number, not '1_000'; write the digits without separators"},
    {"Quoted", "seed: '1'\n",
     "job.yaml:1:7: seed: must be a whole number, not the text \"1\"; write it without quotes"},
    {"Fraction", "seed: 1.5\n", "job.yaml:1:7: seed: must be a whole number, not '1.5'"},
    {"FractionalExponent", "seed: 15e-1\n", "job.yaml:1:7: seed: must be a whole number, not '15e-1'"},
    {"TooLarge", "seed: 9223372036854775808\n", "job.yaml:1:7: seed: '9223372036854775808' does not fit into 64 bits"},
    {"InexactExponent", "seed: 1e17\n",
     "job.yaml:1:7: seed: '1e17' is too large to be exact in this form; write the digits"},
    {"Nan", "log: {interval_s: .nan}\n", "job.yaml:1:19: log.interval_s: must be finite, not '.nan'"},
    {"Infinity", "log: {interval_s: -.INF}\n", "job.yaml:1:19: log.interval_s: must be finite, not '-.INF'"},
    {"BeyondDouble", "log: {interval_s: 1e999}\n",
     "job.yaml:1:19: log.interval_s: '1e999' is beyond what a number can hold"},
    {"Word", "seed: many\n", "job.yaml:1:7: seed: must be a whole number, not 'many'"},
    {"Suffix", "seed: 5k\n", "job.yaml:1:7: seed: must be a whole number, not '5k'"},
    {"SignAlone", "seed: +\n", "job.yaml:1:7: seed: must be a whole number, not '+'"},
    {"Below", "seed: -1\n", "job.yaml:1:7: seed: must be at least 0, not -1"},
    {"Outside", "training: {distillation: 1.5}\n", "job.yaml:1:26: training.distillation: must be 0 to 1, not 1.5"},
    {"AtAnOpenEnd", "training: {beta1: 1}\n", "job.yaml:1:19: training.beta1: must be 0 to below 1, not 1"},
    {"NotAMultiple", "quantization: {group_size: 10}\n",
     "job.yaml:1:28: quantization.group_size: must be 8 to 1048576, a multiple of 4, not 10"},
    {"NotAChoice", "quantization: {head_bits: 5}\n",
     "job.yaml:1:27: quantization.head_bits: must be 16 | 8 | 6 | 4 | ternary, not '5'"},
};
const Mistake kOtherMistakes[] = {
    {"Yes", "training: {enabled: yes}\n", "job.yaml:1:21: training.enabled: must be true or false, not 'yes'"},
    {"QuotedTruth", "training: {enabled: 'true'}\n",
     "job.yaml:1:21: training.enabled: must be true or false, not the text \"true\"; write it without quotes"},
    {"Choice", "training: {optimizer: AdamV}\n",
     "job.yaml:1:23: training.optimizer: must be adamw | lion | mugrokfast, not 'AdamV'; did you mean 'adamw'?"},
    {"ExportUnknown", "export: {formats: [ggufs]}\n",
     "job.yaml:1:20: export.formats[0]: must be gguf | hf-bitnet | compressed-tensors | kernels, not 'ggufs'; "
     "did you mean 'gguf'?"},
    {"ExportTwice", "export: {formats: [gguf, gguf]}\n", "job.yaml:1:26: export.formats[1]: is listed twice"},
    {"ListForNumber", "seed: [1]\n", "job.yaml:1:7: seed: must be a whole number, not a list"},
    {"GroupForText", "name: {a: 1}\n", "job.yaml:1:7: name: must be one text, not a group of keys"},
    {"TextForList", "data:\n  evaluation: a.txt\n",
     "job.yaml:2:15: data.evaluation: must be a list such as [a, b], not 'a.txt'"},
    {"TextForSection", "training: fast\n", "job.yaml:1:11: training: must be a group of keys, not 'fast'"},
    {"ListForFile", "- a\n", "job.yaml:1:1: must be a group of keys, not a list"},
    {"Empty", "name:\nseed: 1\n", "job.yaml:1:1: name: has no value; give one or leave the key out"},
    {"EmptyItem", "data: {evaluation: [a, '']}\n", "job.yaml:1:24: data.evaluation[1]: is empty"},
    {"Alias", "name: &n a\noutput: *n\n",
     "job.yaml:2:9: output: aliases ('*name') are not supported; write the value again"},
    {"Tag", "seed: !!int 5\n",
     "job.yaml:1:7: seed: tags ('tag:yaml.org,2002:int') are not supported; write the plain value"},
    {"ListWithTag", "data: {evaluation: !x [a]}\n",
     "job.yaml:1:20: data.evaluation: tags ('!x') are not supported; write the plain value"},
    {"SecondDocument", "seed: 1\n---\nseed: 2\n",
     "job.yaml:3:1: a second YAML document starts; a configuration is one document"},
    {"Syntax", "seed: 1\nname: [a\n", "job.yaml:3:1: not valid YAML: end of sequence flow not found"},
};
const auto name_of = [](const testing::TestParamInfo<Mistake>& info) { return std::string(info.param.name); };
INSTANTIATE_TEST_SUITE_P(Keys, EachMistake, testing::ValuesIn(kKeyMistakes), name_of);
INSTANTIATE_TEST_SUITE_P(Numbers, EachMistake, testing::ValuesIn(kNumberMistakes), name_of);
INSTANTIATE_TEST_SUITE_P(Others, EachMistake, testing::ValuesIn(kOtherMistakes), name_of);

class EachRelation : public testing::TestWithParam<Mistake> {};
TEST_P(EachRelation, IsCheckedAcrossKeys) {
  EXPECT_EQ(mistakes(GetParam().text), GetParam().message);
}

const Mistake kRelations[] = {
    {"BatchOfSequences", "data:\n  sequence_length: 100\n",
     "job.yaml:2:3: training.global_batch_tokens: must be a multiple of data.sequence_length (100), not 4096"},
    {"OneStep", "training: {tokens: 100}\n",
     "job.yaml:1:12: training.tokens: must hold at least one step of training.global_batch_tokens (4096), not 100"},
    {"SamplesForAllShards", "calibration: {samples: 12}\n",
     "job.yaml:1:15: calibration.samples: must give each of the calibration.shards (64) a sequence, not 12"},
    {"NothingHeldOut", "data: {held_out_fraction: 0}\n",
     "job.yaml:1:8: data.held_out_fraction: must be above 0 when data.evaluation names no file: nothing would be left "
     "to "
     "measure on"},
    {"TaskTwice", "evaluation: {tasks: [{name: piqa, path: a}, {name: piqa, path: b}]}\n",
     "job.yaml:1:45: evaluation.tasks[1]: is listed twice; a folder takes several files of a task together"},
    {"JudgedTaskThatIsNotMeasured", "gates: {accuracy: {task: mmlu}}\n",
     "job.yaml:1:20: gates.accuracy.task: must be one of evaluation.tasks, 'mmlu' is not"},
    {"MetricWithoutATask", "gates: {accuracy: {metric: acc_norm}}\n",
     "job.yaml:1:20: gates.accuracy.metric: needs gates.accuracy.task: next-token accuracy has no other metric"},
    {"SourceTwice", "data: {sources: [a, ./a]}\n",
     "job.yaml:1:21: data.sources[1]: is listed twice; use its weight instead"},
    {"MeasuredOnTraining", "data:\n  sources: [a, b]\n  evaluation: [c, b]\n",
     "job.yaml:3:19: data.evaluation[1]: is also a training source: a model must be measured on text that it has not "
     "seen"},
    {"OutputInsideModel", "model: {path: m}\noutput: m/../m/out\n",
     "job.yaml:2:1: output: must not be the model's folder or lie inside it: the original is never written to"},
    {"Sparsity", "gates: {sparsity: {threshold: 0.5}}\n",
     "job.yaml:1:20: gates.sparsity.maximum: must not be below gates.sparsity.threshold (0.5)"},
    {"SolverNeedsItsRule", "quantization: {solver: compensated, rule: absmean}\n",
     "job.yaml:1:16: quantization.solver: needs quantization.rule: calibrated, which training goes on with"},
    {"TernaryWithTheRuleOfIntegers", "quantization: {rule: min_max}\n",
     "job.yaml:1:16: quantization.rule: min_max is for integers; ternary takes absmean, least_squares or calibrated"},
    {"IntegersWithARuleOfTernary", "quantization: {format: int4, rule: absmean}\n",
     "job.yaml:1:30: quantization.rule: absmean is for ternary; int4 takes min_max or calibrated"},
    {"ClippingOfFixedScales", "quantization: {format: int4, solver: compensated}\ntraining: {qk_clip: 100}\n",
     "job.yaml:2:12: training.qk_clip: cannot shrink query and key: integers keep the scales that quantization.solver: "
     "compensated gives them"},
    {"TritsWithoutSymmetry", "quantization: {symmetric: false}\n",
     "job.yaml:1:16: quantization.symmetric: false is for integers; trits have no zero point"},
    {"NcclOnCpu", "distributed: {backend: nccl, device: cpu}\n",
     "job.yaml:1:15: distributed.backend: nccl moves tensors between GPUs, but distributed.device is cpu"},
    {"KvHeads", "pretrain: {kv_heads: 4}\n",
     "job.yaml:1:12: pretrain.kv_heads: must divide pretrain.heads (6), 4 does not"},
    {"HiddenSize", "pretrain: {hidden_size: 196}\n",
     "job.yaml:1:12: pretrain.hidden_size: must be an even multiple of pretrain.heads (6), 196 is not"},
    {"OddHeads", "pretrain: {hidden_size: 66, heads: 6, kv_heads: 6}\n",
     "job.yaml:1:12: pretrain.hidden_size: must be an even multiple of pretrain.heads (6), 66 is not"},
    {"Positions", "pretrain: {max_positions: 128}\ndata: {sequence_length: 128}\n",
     "job.yaml:1:12: evaluation.sequence_length: is longer than pretrain.max_positions (128)"},
};
INSTANTIATE_TEST_SUITE_P(Relations, EachRelation, testing::ValuesIn(kRelations), name_of);

TEST(Relations, AFolderBesideTheModelWithTheSameBeginningIsFine) {
  EXPECT_EQ(mistakes("model: {path: m}\noutput: m-ternary\n"), "");
}

TEST(Relations, AModelToCompressHasItsOwnLimitOfPositions) {
  EXPECT_EQ(mistakes("data: {sequence_length: 2048}\nevaluation: {sequence_length: 2048}\n"), "");
}

TEST(Relations, TheResolvedConfigurationOfAJobWithLongSequencesLoadsAgain) {
  JobConfig job = load("model: {path: m}\ndata: {sequence_length: 2048}\n");
  EXPECT_EQ(mistakes(to_yaml(job)), "");
}

TEST(Relations, AreNotCheckedOnTopOfAMistakeOfTheValueItself) {
  EXPECT_EQ(mistakes("training: {global_batch_tokens: 0}\ndata: {sequence_length: 100}\n"),
            "job.yaml:1:33: training.global_batch_tokens: must be at least 1, not 0");
}

TEST(Mistakes, AreAllListedAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(mistakes("pretrain: {kv_heads: 4}\nseed: x\nseed: 2\ntraining:\n  tokens: 010\n  lr: 3\n", {"nam=x"}),
            "the configuration has 6 mistakes:\n"
            "  job.yaml:1:12: pretrain.kv_heads: must divide pretrain.heads (6), 4 does not\n"
            "  job.yaml:2:7: seed: must be a whole number, not 'x'\n"
            "  job.yaml:3:1: seed: given twice (first in line 2)\n"
            "  job.yaml:5:11: training.tokens: '010' looks octal; write it without leading zeros\n"
            "  job.yaml:6:3: training.lr: unknown key\n"
            "  --set nam: unknown key; did you mean 'name'?");
}

TEST(Mistakes, AreCutOffAfterFifty) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "qqqqqq" + std::to_string(i) + ": 1\n";
  const std::string message = mistakes(text);
  EXPECT_TRUE(message.starts_with("the configuration has 60 mistakes:")) << message;
  EXPECT_TRUE(message.ends_with("... and 10 more")) << message;
}

TEST(Mistakes, HaveTheExitCodeOfAUsageError) {
  try {
    load("seed: x\n");
    FAIL() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
  }
}

TEST(Limits, DeepNestingIsRefusedAndDoesNotOverflowTheStack) {
  EXPECT_NE(mistakes("name: " + std::string(20, '[') + "\n").find("nested too deeply"), std::string::npos);
  EXPECT_NE(mistakes("name: " + std::string(200000, '[') + "\n").find("job.yaml:1:"), std::string::npos);
}

TEST(Limits, AFileOverOneMegabyteIsRefused) {
  EXPECT_NE(mistakes(std::string((1 << 20) + 1, '#')).find("is too large"), std::string::npos);
}

TEST(Limits, HugeWordsAndListsAreRefusedAtOnce) {
  const std::string word(500000, 'q');
  EXPECT_NE(mistakes(word.substr(0, 1000) + ": 1\n").find("unknown key"), std::string::npos);
  EXPECT_LT(mistakes("training: {optimizer: " + word + "}\n").size(), 300u);
  std::string items = "a0";
  for (int i = 1; i < 50000; ++i) items += ",a" + std::to_string(i);
  EXPECT_NE(mistakes("data: {sources: [" + items + "]}\n").find("has 50000 items; at most 4096"), std::string::npos);
}

TEST(Limits, LineEndsAndAByteOrderMarkOfOtherSystemsAreFine) {
  EXPECT_EQ(load("\xEF\xBB\xBFname: a\r\ntraining:\r\n  tokens: 8192\r\n").training.tokens, 8192);
}

TEST(Limits, AFolderInPlaceOfAFileIsAUsageError) {
  EXPECT_THROW(load_job_config("/", {}), ConfigError);
}

TEST(Limits, AMissingFileIsAUsageErrorThatNamesIt) {
  try {
    load_job_config("no/such/job.yaml", {});
    FAIL() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("no/such/job.yaml"), std::string::npos);
  }
}

// Random edits of a real file: whatever comes out loads or is a ConfigError, nothing else.
TEST(Limits, DamagedFilesNeverDoAnythingButFailAsAConfigError) {
  const std::string whole = to_yaml(JobConfig{});
  constexpr std::string_view kBytes = "{}[]:,-?*&!|>'\"%@`# \n\t0e.~\\\0\xff";
  int refused = 0;
  for (std::uint64_t round = 0; round < 400; ++round) {
    std::string text = whole;
    for (std::uint64_t edit = 0; edit < 4; ++edit) {
      const std::uint64_t bits = random_bits(1, purpose_of("config.damage"), 4 * round + edit);
      text[bits % text.size()] = kBytes[(bits >> 40) % kBytes.size()];
    }
    ASSERT_NO_THROW(refused += mistakes(text).empty() ? 0 : 1) << text;
  }
  EXPECT_GT(refused, 200);
}

TEST(Relations, StreamedWeightsAreRefusedBesideWhatNeedsAllOfThem) {
  const std::string job = "model: {weights: streamed}\ntraining: {enabled: false}\n";
  EXPECT_EQ(mistakes(job + "blockwise: {enabled: true}\n"), "");
  EXPECT_EQ(mistakes(job + "quantization: {solver: compensated}\n"), "");
  EXPECT_MENTIONS(mistakes("model: {weights: streamed}\n"),
                  "training.enabled: needs all weights in memory, and model.weights is streamed");
  for (const std::string asked :
       {"target: {ratio: 8}", "target: {like: int3}", "remedies: {rounds: 1, order: [lift_layers]}",
        "calibration: {second_moment: true}", "quantization: {solver: compensated, solver_sequential: false}",
        "gates: {speedup: {severity: fail}}", "blockwise: {enabled: true}\nprogressive: {formats: [int4, ternary]}"}) {
    EXPECT_MENTIONS(mistakes(job + asked + "\n"), "model.weights is streamed");
  }
}

}  // namespace
}  // namespace tercet
