#include "config/schema.hpp"

#include <algorithm>

namespace tercet::config {
namespace {

constexpr Effect kResults = Effect::kResults;
constexpr Effect kChecked = Effect::kChecked;
constexpr Effect kNone = Effect::kNone;
constexpr std::string_view kFormats = "ternary | ternary5 | int2 | int3 | int4 | int6 | int8 | float16";

// The address of a field as a plain function, e.g. TERCET_AT(training.tokens).
#define TERCET_AT(member)            \
  +[](JobConfig & config) -> auto& { \
    return config.member;            \
  }
#define TERCET_SOURCE_AT(member)        \
  +[](SourceConfig & source) -> auto& { \
    return source.member;               \
  }
#define TERCET_LAYER_AT(member)       \
  +[](LayerFormat & layer) -> auto& { \
    return layer.member;              \
  }
#define TERCET_TASK_AT(member)      \
  +[](TaskConfig & task) -> auto& { \
    return task.member;             \
  }

// clang-format off
const Row<JobConfig> kJobRows[] = {
  {"name", TERCET_AT(name), "", any(), kNone,
   "What the job is called in logs and reports."},
  {"output", TERCET_AT(output), "", path(), kNone,
   "Run folder of `compress`, or model folder that `pretrain` makes; it must not lie inside the model's folder."},
  {"seed", TERCET_AT(seed), "", at_least(0), kResults,
   "Every random choice is a function of this number, a purpose and an index."},

  {"model.path", TERCET_AT(model.path), "", path(), kChecked,
   "Hugging Face folder of the model to compress."},
  {"model.tokenizer", TERCET_AT(model.tokenizer), "", path(), kChecked,
   "Folder of the tokenizer; empty: the model's folder."},
  {"model.weights", TERCET_AT(model.weights), "", one_of("resident | streamed"), kNone,
   "Where the weights inside the blocks are: all of them in the memory of every rank, or made block by block from mapped files, for a model that does not fit ([large-models.md](large-models.md)). Streamed weights go with calibration, solver, block-wise tuning and measuring, not with `training`."},

  {"data.sources", TERCET_AT(data.sources), "", path(), kChecked,
   "Text to train and calibrate on: a list of paths, or of `{path, weight, field}`."},
  {"data.evaluation", TERCET_AT(data.evaluation), "", path(), kChecked,
   "Held-out text files to measure on; empty: the held-out documents of the sources."},
  {"data.held_out_fraction", TERCET_AT(data.held_out_fraction), "", from_below(0, 1), kResults,
   "Share of the sources' documents, chosen by their hash, that is kept out of training."},
  {"data.sequence_length", TERCET_AT(data.sequence_length), "tokens", between(2, 1 << 20), kResults,
   "Length of a training and calibration sequence."},
  {"data.cache", TERCET_AT(data.cache), "", path(), kNone,
   "Folder of tokenized text, shared between jobs; empty: `tokens` inside the output folder."},

  {"calibration.samples", TERCET_AT(calibration.samples), "sequences", at_least(1), kResults,
   "How many sequences the statistics are taken from; unset: 500, 1000, 2000 or 5000 by model size."},
  {"calibration.shards", TERCET_AT(calibration.shards), "", between(1, 65536), kResults,
   "Fixed cut of the sequences that ranks share out; the result is the same for any number of ranks up to this."},
  {"calibration.batch", TERCET_AT(calibration.batch), "sequences", between(1, 65536), kChecked,
   "Sequences in one forward pass; more need more memory."},
  {"calibration.second_moment", TERCET_AT(calibration.second_moment), "", any(), kResults,
   "Also collect the matrix X'X of every layer's inputs (much memory for wide layers)."},

  {"quantization.format", TERCET_AT(quantization.format), "", one_of(kFormats), kResults,
   "How the matrices inside the blocks are stored: trits at 2 bits, five trits in a byte (1.6 bits), integers of so many bits, or as they are, in fp16 (a control, with 16 bits for embedding, head and activations; [studies.md](studies.md))."},
  {"quantization.symmetric", TERCET_AT(quantization.symmetric), "", any(), kResults,
   "Integers without zero points; with them each scale takes a byte more. Trits have none."},
  {"quantization.granularity", TERCET_AT(quantization.granularity), "", one_of("tensor | channel | group"), kResults,
   "What shares one scale: a matrix, an output row, or a group of inputs of a row."},
  {"quantization.group_size", TERCET_AT(quantization.group_size), "inputs", {.low = 8, .high = 1 << 20, .multiple_of = 4}, kResults,
   "Inputs that share a scale with granularity `group`; of trits, the last group of a row may be shorter; of integers, it must divide the width."},
  {"quantization.rule", TERCET_AT(quantization.rule), "", one_of("absmean | least_squares | min_max | calibrated"), kResults,
   "How levels and scales follow from weights, before and while training. Ternary: BitNet's mean magnitude, its trits with the scale of least error, or the threshold and scale of least activation-weighted error (`calibrated`). Integers: the whole range of a block (`min_max`), or the part of it with the least activation-weighted error (`calibrated`)."},
  {"quantization.embedding_bits", TERCET_AT(quantization.embedding_bits), "bits", one_of("16 | 8 | 6 | 4 | ternary"), kResults,
   "Storage of the embedding table: fp16, int8 with a scale for each row, or 6 and 4 bits or trits by `table_group_size`."},
  {"quantization.head_bits", TERCET_AT(quantization.head_bits), "bits", one_of("16 | 8 | 6 | 4 | ternary"), kResults,
   "Storage of an untied output head; a tied head is the embedding table."},
  {"quantization.table_group_size", TERCET_AT(quantization.table_group_size), "inputs", {.low = 8, .high = 1 << 20, .multiple_of = 4}, kResults,
   "Inputs that share a scale in an embedding or head of less than 8 bits."},
  {"quantization.activation_bits", TERCET_AT(quantization.activation_bits), "bits", one_of("8 | 16"), kResults,
   "Inputs of quantized layers: rounded to int8 for each token, or left alone (16)."},
  {"quantization.skip", TERCET_AT(quantization.skip), "", any(), kResults,
   "Parameter names to keep in fp16; `*` stands for anything and `?` for one character."},
  {"quantization.layers", TERCET_AT(quantization.layers), "", any(), kResults,
   "Matrices that are stored otherwise than the rest ([bits-per-layer.md](bits-per-layer.md)): a list of `{match, role, format, …}`; the last item that names a matrix counts."},
  {"quantization.solver", TERCET_AT(quantization.solver), "", one_of("rounding | compensated"), kResults,
   "Where training starts, or what is packed without training: weights rounded by the rule, or levels and scales that make good each other's errors (GPTQ). Compensation implies `calibration.second_moment`."},
  {"quantization.solver_damping", TERCET_AT(quantization.solver_damping), "", between(0, 1), kResults,
   "Added to the second moment's diagonal, as a share of its mean; raised tenfold, up to 1, where a layer cannot be solved."},
  {"quantization.solver_act_order", TERCET_AT(quantization.solver_act_order), "", any(), kResults,
   "Compensation fixes the columns with the largest inputs first; groups stay together."},
  {"quantization.solver_sweeps", TERCET_AT(quantization.solver_sweeps), "", between(0, 1000), kResults,
   "How often compensation revisits all scales and levels of a layer; 0: GPTQ alone."},
  {"quantization.solver_sequential", TERCET_AT(quantization.solver_sequential), "", any(), kResults,
   "Solve block after block, each for the inputs that the quantized blocks before it give; otherwise for the original's."},

  {"target.perplexity_degradation", TERCET_AT(target.perplexity_degradation), "", at_least(0), kResults,
   "The smallest model whose perplexity grows by no more than this share, measured on the selection windows before any tuning; 0: no such target."},
  {"target.size_mb", TERCET_AT(target.size_mb), "MB", at_least(0), kResults,
   "The best model whose packed file has no more bytes than this (MB of 1,000,000); 0: no such target."},
  {"target.ratio", TERCET_AT(target.ratio), "", at_least(0), kResults,
   "The best model whose packed file is so many times smaller than `gates.compression.baseline`; 0: no such target."},
  {"target.like", TERCET_AT(target.like), "", one_of("none | ternary | ternary5 | int2 | int3 | int4 | int6 | int8"), kResults,
   "The best model in the bytes of one that has this format in every layer."},

  {"allocation.formats", TERCET_AT(allocation.formats), "", any(), kResults,
   "What each matrix may be stored as: a list of names, or of items as `quantization.layers` has; one with `match` or `role` is offered to those matrices alone."},
  {"allocation.tables", TERCET_AT(allocation.tables), "bits", one_of("16 | 8 | 6 | 4 | ternary"), kResults,
   "What embedding and untied head may be stored as; empty: as `embedding_bits` and `head_bits` say."},
  {"allocation.sensitivity", TERCET_AT(allocation.sensitivity), "", one_of("kl | error"), kResults,
   "What a format is said to cost a matrix: the divergence from the original's predictions when that matrix alone is quantized (nats a token), or the relative squared error of its output."},
  {"allocation.samples", TERCET_AT(allocation.samples), "sequences", at_least(1), kResults,
   "Training sequences, beyond those of the calibration, that `kl` is measured on."},
  {"allocation.rounds", TERCET_AT(allocation.rounds), "", between(1, 100), kResults,
   "How often at most a perplexity target is tried: predicted, quantized, measured, and the prediction corrected."},

  {"progressive.formats", TERCET_AT(progressive.formats), "", any(), kResults,
   "Stages in place of `quantization.format` ([progressive.md](progressive.md)), each of fewer bits than the one before and starting from its weights: a list of names, or of items as `quantization.layers` has, without `match` and `role`; empty: one stage."},
  {"progressive.last_share", TERCET_AT(progressive.last_share), "", {.low = 0, .high = 1, .low_allowed = false, .high_allowed = false}, kResults,
   "Share of `training.tokens` (and `polish_tokens`) that the last stage gets; the others get equal parts of the rest."},

  {"remedies.rounds", TERCET_AT(remedies.rounds), "rounds", between(0, 20), kResults,
   "How many further rounds the job may take when a gate of quality fails ([progressive.md](progressive.md)); 0: none."},
  {"remedies.tokens", TERCET_AT(remedies.tokens), "tokens", at_least(1), kResults,
   "Training in all these rounds together; each gets an equal part."},
  {"remedies.learning_rate", TERCET_AT(remedies.learning_rate), "", {.low = 0, .high = 10, .low_allowed = false}, kResults,
   "Peak step sizes in these rounds, as a share of those in `training`: they go on from trained weights, which the full ones would undo."},
  {"remedies.order", TERCET_AT(remedies.order), "", one_of("more_training | lift_layers | group_size"), kResults,
   "What is tried, in this order: to train on, the next higher format for the matrices with the largest weighted errors, half the group size."},
  {"remedies.lift_share", TERCET_AT(remedies.lift_share), "", {.low = 0, .high = 1, .low_allowed = false}, kResults,
   "Share of the matrices inside the blocks that `lift_layers` lifts at once; at least one."},

  {"blockwise.enabled", TERCET_AT(blockwise.enabled), "", any(), kResults,
   "Before training, tune block after block to the outputs of the original's block."},
  {"blockwise.samples", TERCET_AT(blockwise.samples), "sequences", at_least(1), kResults,
   "Training sequences that the blocks are tuned on; a multiple of `blockwise.batch`."},
  {"blockwise.batch", TERCET_AT(blockwise.batch), "sequences", at_least(1), kResults,
   "Sequences of one step over all ranks together."},
  {"blockwise.epochs", TERCET_AT(blockwise.epochs), "", between(1, 10000), kResults,
   "How often each block goes through the sequences."},
  {"blockwise.learning_rate", TERCET_AT(blockwise.learning_rate), "", above(0), kResults,
   "Peak step size of AdamW for trits and two bits; finer grids take smaller ones (at 3 bits 0.28 of it, at 4 bits 0.09). It falls to zero over a block's steps."},
  {"blockwise.window", TERCET_AT(blockwise.window), "blocks", between(1, 1000), kResults,
   "Blocks tuned at once, towards the outputs of the last of them; the window slides by one block."},
  {"blockwise.by_parts", TERCET_AT(blockwise.by_parts), "", any(), kResults,
   "Tune query and key, then value and attention output, then the MLP, each for all epochs; otherwise all at once."},
  {"blockwise.softening", TERCET_AT(blockwise.softening), "", between(0, 1), kResults,
   "Share of the steps, from the first, over which the weights being tuned pass from their full precision to their quantized values; 0: off."},
  {"blockwise.scale_epochs", TERCET_AT(blockwise.scale_epochs), "", between(0, 10000), kResults,
   "How often each block then goes through the sequences to tune its scales alone, its levels fixed; 0: not."},
  {"blockwise.scale_learning_rate", TERCET_AT(blockwise.scale_learning_rate), "", above(0), kResults,
   "Peak step size of AdamW in that."},

  {"training.enabled", TERCET_AT(training.enabled), "", any(), kResults,
   "Train the quantized model against the original; otherwise the weights are only rounded."},
  {"training.tokens", TERCET_AT(training.tokens), "tokens", at_least(1), kResults,
   "Length of the training."},
  {"training.global_batch_tokens", TERCET_AT(training.global_batch_tokens), "tokens", at_least(1), kResults,
   "Tokens of one step over all ranks together, so that a job takes the same steps on any number of ranks."},
  {"training.micro_batch", TERCET_AT(training.micro_batch), "sequences", between(1, 65536), kChecked,
   "Sequences of one forward pass on one rank; more need more memory."},
  {"training.optimizer", TERCET_AT(training.optimizer), "", one_of("adamw | lion | mugrokfast"), kResults,
   "AdamW or Lion for everything, or Muon (with Grokfast) for the matrices inside the blocks and AdamW for the rest."},
  {"training.learning_rate", TERCET_AT(training.learning_rate), "", above(0), kResults,
   "Peak step size of AdamW or Lion (which wants a third to a tenth of AdamW's); with `mugrokfast` it applies to embeddings, head and vectors."},
  {"training.matrix_learning_rate", TERCET_AT(training.matrix_learning_rate), "", between(0, 10), kResults,
   "AdamW and Lion: peak step size of the matrices inside the blocks, as a share of the mean magnitude of each; 0: `learning_rate`."},
  {"training.muon_learning_rate", TERCET_AT(training.muon_learning_rate), "", above(0), kResults,
   "Peak step size of Muon, for the matrices inside the blocks."},
  {"training.momentum", TERCET_AT(training.momentum), "", from_below(0, 1), kResults,
   "Momentum of Muon."},
  {"training.newton_schulz_steps", TERCET_AT(training.newton_schulz_steps), "", between(1, 20), kResults,
   "Iterations that make Muon's step orthogonal."},
  {"training.grokfast_alpha", TERCET_AT(training.grokfast_alpha), "", from_below(0, 1), kResults,
   "Decay of Grokfast's moving average of gradients."},
  {"training.grokfast_lambda", TERCET_AT(training.grokfast_lambda), "", between(0, 100), kResults,
   "How much of that average is added to the gradient; 0: none."},
  {"training.qk_clip", TERCET_AT(training.qk_clip), "", at_least(0), kResults,
   "Largest attention logit before query and key weights are scaled down; 0: off."},
  {"training.beta1", TERCET_AT(training.beta1), "", from_below(0, 1), kResults,
   "AdamW's decay of the mean of gradients, and Lion's share of it in a step."},
  {"training.beta2", TERCET_AT(training.beta2), "", from_below(0, 1), kResults,
   "AdamW's decay of the mean of squared gradients; Lion's of the mean of gradients (0.99 as published)."},
  {"training.epsilon", TERCET_AT(training.epsilon), "", above(0), kResults,
   "Added to AdamW's denominator."},
  {"training.weight_decay", TERCET_AT(training.weight_decay), "", between(0, 1), kResults,
   "Decoupled decay of matrices."},
  {"training.gradient_clip", TERCET_AT(training.gradient_clip), "", at_least(0), kResults,
   "Largest norm of the whole gradient; 0: off."},
  {"training.distillation", TERCET_AT(training.distillation), "", between(0, 1), kResults,
   "Weight of the divergence from the original model's predictions; the rest is the weight of cross-entropy on the text."},
  {"training.token_scaled_kl", TERCET_AT(training.token_scaled_kl), "", any(), kResults,
   "Weigh the divergence at each token by how hard the token is for the original."},
  {"training.softening", TERCET_AT(training.softening), "", between(0, 1), kResults,
   "Share of the steps, from the first, over which weights pass from their full precision to their quantized values; 0: off."},
  {"training.hidden_loss", TERCET_AT(training.hidden_loss), "", between(0, 1000), kResults,
   "Weight of the distance of each block's output from the original's, added to the loss; 0: off."},
  {"training.relation_loss", TERCET_AT(training.relation_loss), "", between(0, 1000), kResults,
   "Add the distance of a block's attention relations from the original's, weighted so that its gradient is this multiple of the rest's before the first step; 0: off."},
  {"training.relation_block", TERCET_AT(training.relation_block), "", between(1, 10000), kResults,
   "Whose attention relations, counted from the end: 1 is the last block."},
  {"training.warmup_fraction", TERCET_AT(training.warmup_fraction), "", from_below(0, 1), kResults,
   "Share of the steps over which the step size rises to its peak."},
  {"training.schedule", TERCET_AT(training.schedule), "", one_of("constant | linear | two_stage | cosine"), kResults,
   "How the step size falls after the warm-up."},
  {"training.hold", TERCET_AT(training.hold), "", between(0, 1), kResults,
   "Share of the steps, warm-up included, after which the step size begins to fall."},
  {"training.second_stage_at", TERCET_AT(training.second_stage_at), "", between(0, 1), kResults,
   "`two_stage`: share of the steps after which the second stage begins."},
  {"training.second_stage_learning_rate", TERCET_AT(training.second_stage_learning_rate), "", between(0, 1), kResults,
   "`two_stage`: factor on the step size in the second stage."},
  {"training.final_learning_rate", TERCET_AT(training.final_learning_rate), "", between(0, 1), kResults,
   "Step size at the end, as a share of the peak."},
  {"training.polish_tokens", TERCET_AT(training.polish_tokens), "tokens", at_least(0), kResults,
   "Length of a second training after it, of scales alone; 0: none."},
  {"training.polish_learning_rate", TERCET_AT(training.polish_learning_rate), "", above(0), kResults,
   "Peak step size of AdamW in that training."},
  {"training.bfloat16", TERCET_AT(training.bfloat16), "", any(), kResults,
   "Compute in bfloat16 where the hardware has it; sums and weights stay in float32."},
  {"training.evaluate_every", TERCET_AT(training.evaluate_every), "steps", at_least(0), kResults,
   "How often the held-out loss is measured; 0: ten times over the training."},
  {"training.patience", TERCET_AT(training.patience), "evaluations", at_least(0), kResults,
   "Stop after so many evaluations without a better held-out loss; 0: never."},

  {"evaluation.sequence_length", TERCET_AT(evaluation.sequence_length), "tokens", between(2, 1 << 20), kResults,
   "Length of an evaluation window; its first token is context only."},
  {"evaluation.windows", TERCET_AT(evaluation.windows), "windows", at_least(0), kResults,
   "How many windows are measured; 0: all."},
  {"evaluation.batch", TERCET_AT(evaluation.batch), "windows", between(1, 65536), kChecked,
   "Windows, or sequences of a task, in one forward pass; more need more memory."},
  {"evaluation.tasks", TERCET_AT(evaluation.tasks), "", any(), kChecked,
   "Tasks that the original and the packed model are measured on ([tasks.md](tasks.md)): a list of `{name, path, limit}`."},

  {"gates.compression.severity", TERCET_AT(gates.compression.severity), "", one_of(kSeverities), kChecked,
   "What a miss means: the job fails, a warning, or the gate is not judged."},
  {"gates.compression.threshold", TERCET_AT(gates.compression.threshold), "", at_least(0), kChecked,
   "Least ratio of the baseline's bytes to the packed file's; 0: 6, 8, 10 or 12 by model size. Unset with `target.ratio`: as much as that."},
  {"gates.compression.baseline", TERCET_AT(gates.compression_baseline), "", one_of("fp32 | fp16 | file"), kResults,
   "What the packed file is compared with: the parameters at 4 or 2 bytes, or the original weight files."},
  {"gates.sparsity.severity", TERCET_AT(gates.sparsity.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.sparsity.threshold", TERCET_AT(gates.sparsity.threshold), "", between(0, 1), kChecked,
   "Least share of zeros among the ternary weights."},
  {"gates.sparsity.maximum", TERCET_AT(gates.sparsity_max), "", between(0, 1), kChecked,
   "Largest share of zeros among the ternary weights."},
  {"gates.accuracy.severity", TERCET_AT(gates.accuracy.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.accuracy.threshold", TERCET_AT(gates.accuracy.threshold), "", at_least(0), kChecked,
   "Least accuracy after, as a share of that before."},
  {"gates.accuracy.task", TERCET_AT(gates.accuracy_task), "", any(), kChecked,
   "Which of `evaluation.tasks` the accuracy is that of; empty: next-token accuracy on held-out text."},
  {"gates.accuracy.metric", TERCET_AT(gates.accuracy_metric), "", one_of("acc | acc_norm"), kChecked,
   "Which accuracy of that task: by log-likelihood, or by log-likelihood for each character of the answer."},
  {"gates.perplexity.severity", TERCET_AT(gates.perplexity.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.perplexity.threshold", TERCET_AT(gates.perplexity.threshold), "", at_least(0), kChecked,
   "Largest growth of perplexity, as a share of that before. Unset with `target.perplexity_degradation`: as much as that."},
  {"gates.agreement.severity", TERCET_AT(gates.agreement.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.agreement.threshold", TERCET_AT(gates.agreement.threshold), "", between(0, 1), kChecked,
   "Least share of positions where the dequantized and the packed model predict the same token."},
  {"gates.speedup.severity", TERCET_AT(gates.speedup.severity), "", one_of(kSeverities), kChecked,
   "What a miss means; off: speed is not measured."},
  {"gates.speedup.threshold", TERCET_AT(gates.speedup.threshold), "", at_least(0), kChecked,
   "Least ratio of the packed model's decoded tokens per second to those of the original."},
  {"gates.speedup.baseline", TERCET_AT(gates.speedup_baseline), "", one_of("faster | fp32 | bf16"), kChecked,
   "Which form of the original it is compared with; both are measured beside it."},
  {"gates.speedup.seconds", TERCET_AT(gates.speedup_seconds), "s", {.low = 0, .high = 3600, .low_allowed = false}, kChecked,
   "How long measuring takes, about; a model so slow that a few tokens take longer is given those."},
  {"gates.gradient_flow.severity", TERCET_AT(gates.gradient_flow.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.gradient_flow.threshold", TERCET_AT(gates.gradient_flow.threshold), "", between(0, 1), kChecked,
   "1: every trainable tensor must get a finite, non-zero gradient."},
  {"gates.handoff.severity", TERCET_AT(gates.handoff.severity), "", one_of(kSeverities), kChecked,
   "What a miss means."},
  {"gates.handoff.threshold", TERCET_AT(gates.handoff.threshold), "", between(0, 1), kChecked,
   "1: every file that the next phase needs must exist and load."},

  {"export.formats", TERCET_AT(exports.formats), "", one_of("gguf | hf-bitnet | compressed-tensors | kernels"), kChecked,
   "What is written for other programs, and with `kernels` for faster loading by this one ([exports.md](exports.md)), in addition to the packed file, the fp16 state dict and the `hf` folder. What a format cannot express is refused before the job does anything; with a `target`, when the formats are chosen."},
  {"export.gguf_type", TERCET_AT(exports.gguf_type), "", one_of("auto | tq2_0 | tq1_0 | q2_0"), kChecked,
   "How GGUF stores trits; auto: `tq2_0` where every width and group is a multiple of its 256 values, else `q2_0`, whose blocks have 64."},
  {"export.shard_size_mb", TERCET_AT(exports.shard_size_mb), "MB", above(0), kChecked,
   "Largest safetensors file of `hf`, `hf-bitnet` and `compressed-tensors`; a larger one is cut into shards with an index."},

  {"report.sample_prompt", TERCET_AT(report.sample_prompt), "", any(), kNone,
   "What the original, the packed and the dequantized model go on from in the report; empty: the beginning of the held-out text."},
  {"report.sample_tokens", TERCET_AT(report.sample_tokens), "tokens", between(0, 4096), kNone,
   "How many tokens each of them writes, the likeliest each time; 0: none."},

  {"distributed.backend", TERCET_AT(distributed.backend), "", one_of("auto | self | mpi | nccl"), kNone,
   "How ranks exchange tensors; auto: NCCL on GPUs, MPI on CPUs, nothing for one rank."},
  {"distributed.device", TERCET_AT(distributed.device), "", one_of("auto | cpu | cuda"), kNone,
   "Where the model computes; auto: on GPUs if every rank sees one, otherwise on the CPU. Ranks that would share a GPU are refused."},
  {"distributed.allow_shared_gpu", TERCET_AT(distributed.allow_shared_gpu), "", any(), kNone,
   "Let several ranks use one GPU (for tests on one GPU)."},
  {"distributed.deterministic", TERCET_AT(distributed.deterministic), "", any(), kNone,
   "On GPUs, give the same bits in every run and after every resumption, at some cost in speed; CPUs always do."},
  {"distributed.threads_per_rank", TERCET_AT(distributed.threads_per_rank), "threads", between(0, 4096), kNone,
   "Threads of each rank; 0: the cores of the machine shared out among its ranks."},
  {"distributed.bucket_mb", TERCET_AT(distributed.bucket_mb), "MB", above(0), kNone,
   "Size of the gradient buckets that are summed while the backward pass still runs."},

  {"kernels.instruction_set", TERCET_AT(kernels.instruction_set), "", one_of("auto | portable | avx2 | avx512"), kNone,
   "What the processor multiplies packed weights with, the same bits with each; `auto`: the best that it has; `avx512`: with VNNI. One that it lacks is refused."},

  {"watchdog.timeout_s", TERCET_AT(watchdog.timeout_s), "s", between(5, 86400), kNone,
   "How long a rank may give no sign of life, unless it waits for others, before all ranks are ended."},

  {"checkpoint.every_steps", TERCET_AT(checkpoint.every_steps), "steps", at_least(0), kNone,
   "How often the training state is saved; 0: never."},
  {"checkpoint.keep", TERCET_AT(checkpoint.keep), "", at_least(1), kNone,
   "How many of the newest checkpoints stay on disk."},
  {"checkpoint.lead_s", TERCET_AT(checkpoint.lead_s), "s", at_least(0), kNone,
   "Warning time that the batch system gives before the end (sbatch `--signal`); a too short one is said."},
  {"checkpoint.asynchronous", TERCET_AT(checkpoint.asynchronous), "", any(), kNone,
   "Write checkpoints while training goes on, from a copy of each rank's share of the state; false: training waits."},

  {"log.level", TERCET_AT(log.level), "", one_of("debug | info | warn | error"), kNone,
   "Least important message that is written."},
  {"log.interval_s", TERCET_AT(log.interval_s), "s", above(0), kNone,
   "Time between progress lines when the output is not a terminal."},

  {"trackers.tensorboard", TERCET_AT(trackers.tensorboard), "", any(), kNone,
   "Write TensorBoard event files into `tensorboard` in the run folder."},
  {"trackers.prometheus", TERCET_AT(trackers.prometheus), "", path(), kNone,
   "Write the newest figures for Prometheus's node exporter: a file whose name ends in `.prom`, or the exporter's folder, where it is called `tercet-<name>.prom`."},
  {"trackers.wandb.project", TERCET_AT(trackers.wandb_project), "", any(), kNone,
   "Write an offline run of this Weights & Biases project into `wandb` in the run folder; empty: none."},
  {"trackers.wandb.entity", TERCET_AT(trackers.wandb_entity), "", any(), kNone,
   "User or team that the project belongs to; empty: that of whoever syncs it."},
  {"trackers.wandb.name", TERCET_AT(trackers.wandb_name), "", any(), kNone,
   "What the run is called there; empty: `name`."},

  {"pretrain.hidden_size", TERCET_AT(pretrain.hidden_size), "", {.low = 8, .high = 65536, .multiple_of = 2}, kResults,
   "Width of the model."},
  {"pretrain.intermediate_size", TERCET_AT(pretrain.intermediate_size), "", between(8, 1 << 20), kResults,
   "Width inside the MLP."},
  {"pretrain.layers", TERCET_AT(pretrain.layers), "", between(1, 1024), kResults,
   "Number of blocks."},
  {"pretrain.heads", TERCET_AT(pretrain.heads), "", between(1, 1024), kResults,
   "Attention heads; they divide the width into parts of an even size."},
  {"pretrain.kv_heads", TERCET_AT(pretrain.kv_heads), "", between(1, 1024), kResults,
   "Key and value heads; they divide the attention heads."},
  {"pretrain.max_positions", TERCET_AT(pretrain.max_positions), "tokens", between(2, 1 << 20), kResults,
   "Longest sequence that the model accepts."},
  {"pretrain.tied_head", TERCET_AT(pretrain.tied_head), "", any(), kResults,
   "Use the embedding table as the output head."},
  {"pretrain.tokenizer", TERCET_AT(pretrain.tokenizer), "", path(), kResults,
   "Folder of a tokenizer to copy; empty: a byte-level one is made."},
};

const Row<SourceConfig> kSourceRows[] = {
  {"path", TERCET_SOURCE_AT(path), "", path(), kResults,
   "A file (`.txt`, `.jsonl`, each also `.gz` or `.zst`), a folder, or a pattern with `*`, `?` and `**`."},
  {"weight", TERCET_SOURCE_AT(weight), "", above(0), kResults,
   "Share of the training sequences, relative to the other sources."},
  {"field", TERCET_SOURCE_AT(field), "", any(), kResults,
   "Member of each JSON line that holds the text."},
};

const Row<TaskConfig> kTaskRows[] = {
  {"name", TERCET_TASK_AT(name), "", one_of("lambada | hellaswag | piqa | winogrande | arc_easy | arc_challenge | mmlu | blimp"), kResults,
   "Which task it is; each at most once."},
  {"path", TERCET_TASK_AT(path), "", path(), kResults,
   "Its file in the published layout, or a folder of such files."},
  {"limit", TERCET_TASK_AT(limit), "documents", at_least(0), kResults,
   "How many documents of each file are used, from its beginning; 0: all."},
};

const Row<LayerFormat> kLayerRows[] = {
  {"match", TERCET_LAYER_AT(match), "", any(), kResults,
   "Names of parameters; `*` stands for anything and `?` for one character."},
  {"role", TERCET_LAYER_AT(role), "", one_of("query | key | value | fused_qkv | attention_output | gate | up | down | embedding | head"), kResults,
   "What the matrix does; with `match` both must fit."},
  {"format", TERCET_LAYER_AT(format), "", one_of("ternary | ternary5 | int2 | int3 | int4 | int6 | int8 | float16"), kResults,
   "As `quantization.format`, or fp16."},
  {"granularity", TERCET_LAYER_AT(granularity), "", one_of("tensor | channel | group"), kResults,
   "As `quantization.granularity`; unset for an embedding or head: a row for int8, else a group."},
  {"group_size", TERCET_LAYER_AT(group_size), "inputs", {.low = 8, .high = 1 << 20, .multiple_of = 4}, kResults,
   "As `quantization.group_size`, or `table_group_size` for an embedding or head."},
  {"symmetric", TERCET_LAYER_AT(symmetric), "", one_of("true | false"), kResults,
   "As `quantization.symmetric`; unset for trits: true."},
  {"rule", TERCET_LAYER_AT(rule), "", one_of("absmean | least_squares | min_max | calibrated"), kResults,
   "As `quantization.rule`; unset where the format does not know that one: calibrated."},
};
// clang-format on

constexpr SectionRow kSections[] = {
    {"model", "The model to compress."},
    {"data", "Local text: what to train on and what to measure on."},
    {"calibration", "Statistics of layer inputs that the `calibrated` rule and the report use."},
    {"quantization", "How weights and activations are represented."},
    {"target", "Bits per layer chosen by measuring ([bits-per-layer.md](bits-per-layer.md)): at most one of these."},
    {"allocation", "What a target may choose from, and by what it chooses."},
    {"progressive", "One job in stages, from a large format to a small one; the last that passes the gates is kept."},
    {"remedies", "What is tried when a gate fails, within a budget."},
    {"blockwise", "Tuning of one block at a time, against the outputs of the original's block."},
    {"training", "Fine-tuning of the quantized model, and the training of `pretrain`."},
    {"evaluation", "How perplexity, accuracy, agreement and tasks are measured."},
    {"gates", "Quality gates: each has a severity and a threshold."},
    {"gates.compression", "The packed file is small enough."},
    {"gates.sparsity", "The share of zeros lies in the range of a healthy ternary model."},
    {"gates.accuracy", "Accuracy is preserved: that of the next token, or of a task."},
    {"gates.perplexity", "Perplexity grows little."},
    {"gates.agreement", "The dequantized model is the packed model."},
    {"gates.speedup", "The packed model generates faster than the original on the machine of the job."},
    {"gates.gradient_flow", "The model can be trained further."},
    {"gates.handoff", "The next phase finds what it needs."},
    {"export", "Files for other programs, each checked by a reader of its own."},
    {"report", "What the report shows besides figures."},
    {"distributed", "Ranks and devices."},
    {"kernels", "How packed weights are multiplied on processors."},
    {"watchdog", "What ends a job that hangs."},
    {"checkpoint", "Saved training states, from which a stopped job goes on."},
    {"log", "What is written while the job runs."},
    {"trackers",
     "Files for other programs that follow runs ([trackers.md](trackers.md)); none of them is needed by Tercet."},
    {"trackers.wandb", "An offline run that `wandb sync` takes."},
    {"pretrain", "The Llama-shaped model that `tercet pretrain` trains from scratch."},
};

}  // namespace

std::span<const Row<JobConfig>> job_rows() {
  return kJobRows;
}
std::span<const Row<SourceConfig>> source_rows() {
  return kSourceRows;
}
std::span<const Row<TaskConfig>> task_rows() {
  return kTaskRows;
}
std::span<const Row<LayerFormat>> layer_rows() {
  return kLayerRows;
}
std::span<const SectionRow> sections() {
  return kSections;
}

bool lists(std::span<const SectionRow> sections, std::string_view key) {
  return std::any_of(sections.begin(), sections.end(), [key](const SectionRow& row) { return row.key == key; });
}

}  // namespace tercet::config
