// Products with packed weights on a GPU, by its int8 tensor cores. Integer sums are exact and sums over groups run in
// the order of the other kernels, so the bits are those of the CPU.
//
// The order of columns within an integer sum is free, and so is the order of rows: a lane takes what lies together in
// memory, 4 rows of a chunk in one load, and says to the tensor core that they are its rows and columns. All that the
// product asks for is that the words of A and B which meet are of the same columns.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/device_product.hpp"

namespace tercet::kernels {
namespace {

constexpr int kWarp = 32;
constexpr int kRows = static_cast<int>(kBlockRows);
constexpr int kWarpRows = 2 * kRows;  // of a warp: 8 lanes with 4 rows each
constexpr int kTurnColumns = 64;      // that a warp takes at once: 4 lanes with 16 columns each
constexpr int kTileTokens = 8;        // of one instruction of the tensor cores
template <int kBits>
constexpr int kInChunk = static_cast<int>(chunk_columns(kBits));

void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(code));
}

// A kernel may begin while the one before it ends (compute capability 9.0); until this call it reads only what no
// kernel writes.
__device__ void wait_for_the_kernel_before() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}
__device__ void let_the_next_kernel_begin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

int attribute_of_this_gpu(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "reading the current GPU");
  check(cudaDeviceGetAttribute(&value, which, device), "reading an attribute of the GPU");
  return value;
}

__global__ void quantize(DeviceTokens t);

// By the GPU, and by what was compiled for it: kernels translated from older PTX would begin early and not wait.
bool kernels_may_overlap() {
  static const bool may = [] {
    cudaFuncAttributes compiled = {};
    check(cudaFuncGetAttributes(&compiled, quantize), "reading how a kernel was compiled");
    return attribute_of_this_gpu(cudaDevAttrComputeCapabilityMajor) >= 9 && compiled.ptxVersion >= 90;
  }();
  return may;
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, std::size_t shared_bytes, DeviceStream stream,
            Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = kernels_may_overlap() ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "starting a kernel for packed weights");
}

// ---- tokens to int8

constexpr int kUnit = static_cast<int>(kPadding);  // columns that a thread quantizes at a time

__device__ void load_unit(const float* row, int width, int unit, float (&v)[kUnit]) {
  const int begin = unit * kUnit;
  if (reinterpret_cast<std::uintptr_t>(row) % sizeof(float4) == 0 && begin + kUnit <= width) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float4 four = reinterpret_cast<const float4*>(row + begin)[i];
      v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kUnit; ++i) v[i] = begin + i < width ? row[begin + i] : 0.0f;
}

// 16 values as int8; gives their sum.
__device__ int store_unit(const float (&v)[kUnit], float to_int, int4* to) {
  int words[4];
  int sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    unsigned word = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float rounded = fminf(fmaxf(rintf(v[4 * i + j] * to_int), -128.0f), 127.0f);
      word |= (static_cast<unsigned>(static_cast<int>(rounded)) & 0xffu) << (8 * j);
    }
    words[i] = static_cast<int>(word);
    sum = __dp4a(words[i], 0x01010101, sum);
  }
  *to = make_int4(words[0], words[1], words[2], words[3]);
  return sum;
}

__device__ float largest_of_block(float value) {
  __shared__ float of_warps[kWarp];
  const unsigned warp = threadIdx.x / kWarp;
  // floats that are not negative are in the order of their bits
  of_warps[warp] = __uint_as_float(__reduce_max_sync(0xffffffffu, __float_as_uint(value)));
  __syncthreads();
  for (unsigned i = 0; i < blockDim.x / kWarp; ++i) value = fmaxf(value, of_warps[i]);
  return value;
}

// A thread block has one token, a thread 16 columns of it at a time. Threads are a multiple of 32, so that the 4 of a
// sum are in one warp.
__global__ void quantize(DeviceTokens t) {
  let_the_next_kernel_begin();
  wait_for_the_kernel_before();
  const std::int64_t token = blockIdx.x;
  const int threads = static_cast<int>(blockDim.x), me = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(t.width), units = static_cast<int>(t.stride) / kUnit;
  const int turns = static_cast<int>((t.stride + kSumColumns - 1) / kSumColumns);
  const float* row = t.x + token * t.width;
  auto* values = reinterpret_cast<int4*>(t.values + token * t.stride);
  float v[kUnit];
  float largest = kSmallestAbsmax;
  for (int unit = me; unit < units; unit += threads) {
    load_unit(row, width, unit, v);
#pragma unroll
    for (int i = 0; i < kUnit; ++i) largest = fmaxf(largest, fabsf(v[i]));
  }
  largest = largest_of_block(largest);
  const float to_int = 127.0f / largest;
  for (int unit = me; unit < 4 * turns; unit += threads) {
    int sum = 0;
    if (unit < units) {
      if (units > threads) load_unit(row, width, unit, v);
      sum = store_unit(v, to_int, values + unit);
    }
    const unsigned four = 0xfu << (me % kWarp & ~3);  // all of them are here: 4 turns and threads are multiples of 4
    sum += __shfl_xor_sync(four, sum, 1);
    sum += __shfl_xor_sync(four, sum, 2);
    if (unit % 4 == 0) t.sums[token * turns + unit / 4] = sum;
  }
  if (me == 0) t.scales[token] = largest / 127.0f;
}

// ---- what both products share

// The 16 columns of 4 rows that a lane has of a turn.
template <int kBits>
struct Codes {
  static constexpr int kLoads = kBits / 2;
  uint4 part[kLoads];

  // `codes` is at the lane's block and rows, `chunk` the first of the lane's.
  __device__ void load(const uint4* codes, int chunk, int chunks) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      part[i] = chunk + i < chunks ? __ldcs(codes + 4 * (chunk + i)) : make_uint4(0, 0, 0, 0);
    }
  }
  __device__ unsigned word(int row, int i) const {
    return row == 0 ? part[i].x : row == 1 ? part[i].y : row == 2 ? part[i].z : part[i].w;
  }
  // Columns 4 i to 4 i + 3 of a row as signed bytes: codes, of 8 bits less 128.
  __device__ int columns(int row, int i) const {
    if (kBits == 8) return static_cast<int>(word(row, i % kLoads) ^ 0x80808080u);
    constexpr unsigned kMask = kBits == 2 ? 0x03030303u : 0x0f0f0f0fu;
    constexpr int kFields = 8 / kBits;
    return static_cast<int>(word(row, i / kFields) >> (kBits * (i % kFields)) & kMask);
  }
};

__device__ void multiply_tile(int (&c)[4], int a0, int a1, int a2, int a3, int b0, int b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Of 32 rows and 8 kTiles tokens: a lane has rows 4 (lane / 4) + 2 pair + i / 2 at tokens 8 tile + 2 (lane % 4) + i
// % 2.
template <int kTiles>
struct Sums {
  int pair[2][kTiles][4] = {};

  template <int kBits>
  __device__ void add(const Codes<kBits>& codes, int tile, const int4& x) {
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      const int low = 2 * p, high = 2 * p + 1;
      multiply_tile(pair[p][tile], codes.columns(low, 0), codes.columns(high, 0), codes.columns(low, 1),
                    codes.columns(high, 1), x.x, x.y);
      multiply_tile(pair[p][tile], codes.columns(low, 2), codes.columns(high, 2), codes.columns(low, 3),
                    codes.columns(high, 3), x.z, x.w);
    }
  }
  // Each sum to take(row, token, sum), and back to zero.
  template <class Take>
  __device__ void give(int lane, const Take& take) {
#pragma unroll
    for (int p = 0; p < 2; ++p) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          take(4 * (lane / 4) + 2 * p + i / 2, kTileTokens * tile + 2 * (lane % 4) + i % 2, pair[p][tile][i]);
          pair[p][tile][i] = 0;
        }
      }
    }
  }
};

__device__ int zero_of(const Operands& o, std::int64_t place) {
  const int zero = o.bits == 8 ? o.zero - 128 : o.zero;
  return o.zero_points == nullptr ? zero : zero + o.zero_points[place];
}

__device__ float scale_of(const Operands& o, std::int64_t place) {
  return __half2float(__ushort_as_half(o.scales[place]));
}

// Of the sums of 64 columns, those of a group.
__device__ int sum_of_group(const std::int32_t* sums, int turns, int groups, int of_group, int group) {
  const int end = group + 1 == groups ? turns : (group + 1) * of_group;
  int sum = 0;
  for (int turn = group * of_group; turn < end; ++turn) sum += sums[turn];
  return sum;
}

__global__ void add_up_groups(const std::int32_t* sums, int turns, int groups, int of_group, std::int64_t count,
                              std::int32_t* out) {
  let_the_next_kernel_begin();
  wait_for_the_kernel_before();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count)
    out[i] = sum_of_group(sums + i / groups * turns, turns, groups, of_group, static_cast<int>(i % groups));
}

// 16 bytes to shared memory behind the back of the program; zeros where `inside` is false.
__device__ void copy_ahead(void* to, const void* from, bool inside) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from), "r"(inside ? 16 : 0));
}

// ---- up to 32 tokens

// A thread block has 32 rows, whose columns its warps share out; group by group, where there are groups.
constexpr int kFewWarps = 8;
constexpr int kFewThreads = kFewWarps * kWarp;

// Of a multiprocessor, so that registers are shared out well.
template <int kTiles>
constexpr int kBlocksAtOnce = kTiles == 1   ? 4
                              : kTiles == 2 ? 3
                                            : 2;

struct FewTokens {
  Operands o;
  const std::int32_t* x_sums;  // of 64 columns each
  int tokens, group_columns;
  // Places in shared memory, in bytes. At 0: integer sums [a group or a warp, tokens, 32]; then sums of x [groups,
  // tokens] and scales, half [2 blocks, groups, 16].
  int x_sums_at, scales_at;
};

// What a thread knows of its block's share.
struct FewPlace {
  const FewTokens& f;
  std::uint8_t* shared;
  int me, groups, turns;
  int of_group;  // turns that a warp takes together
  std::int64_t blocks, first_block;

  __device__ int* sums() const { return reinterpret_cast<int*>(shared); }
  __device__ int* x_sums() const { return reinterpret_cast<int*>(shared + f.x_sums_at); }

  __device__ void fetch_scales() const {
    const int pieces = static_cast<int>(min(blocks - first_block, std::int64_t{2})) * groups * 2;
    for (int i = me; i < pieces; i += kFewThreads) {
      copy_ahead(shared + f.scales_at + 16 * i, f.o.scales + first_block * groups * kRows + 8 * i, true);
    }
  }

  __device__ void add_up_x() const {
    for (int i = me; i < f.tokens * groups && groups > 1; i += kFewThreads) {
      x_sums()[i] = sum_of_group(f.x_sums + i % f.tokens * turns, turns, groups, of_group, i / f.tokens);
    }
    for (int token = me / kWarp; token < f.tokens && groups == 1; token += kFewWarps) {
      int sum = 0;
      for (int turn = me % kWarp; turn < turns; turn += kWarp) sum += f.x_sums[token * turns + turn];
      sum = __reduce_add_sync(0xffffffffu, sum);
      if (me % kWarp == 0) x_sums()[token] = sum;
    }
  }

  __device__ int4 x_at(int tile, int lane, int turn, bool inside) const {
    const std::int64_t token = min(tile * kTileTokens + lane / 4, f.tokens - 1);
    const int column = (turn * 4 + lane % 4) * 16;
    inside = inside && column < f.o.x_stride;
    return inside ? *reinterpret_cast<const int4*>(f.o.x + token * f.o.x_stride + column) : make_int4(0, 0, 0, 0);
  }

  // Of all warps; with groups, each has its sum from one of them.
  __device__ int sum_of(int group, int token, int row) const {
    int sum = 0;
    if (groups > 1) sum = sums()[(group * f.tokens + token) * kWarpRows + row];
    if (groups == 1) {
      for (int slot = 0; slot < kFewWarps; ++slot) sum += sums()[(slot * f.tokens + token) * kWarpRows + row];
    }
    return sum;
  }

  __device__ void write_rows() const {
    const Operands& o = f.o;
    for (int i = me; i < f.tokens * kWarpRows; i += kFewThreads) {
      const int token = i / kWarpRows, row = i % kWarpRows;
      const std::int64_t out_block = first_block + row / kRows;
      if (out_block >= blocks) continue;
      const auto* scales =
          reinterpret_cast<const __half*>(shared + f.scales_at) + row / kRows * groups * kRows + row % kRows;
      float total = 0;
      for (int group = 0; group < groups; ++group) {
        int sum = sum_of(group, token, row);
        sum -= zero_of(o, (out_block * groups + group) * kRows + row % kRows) * x_sums()[group * f.tokens + token];
        total = fmaf(__half2float(scales[group * kRows]), static_cast<float>(sum), total);
      }
      o.y[token * o.y_stride + out_block * kRows + row % kRows] = total * o.x_scales[token];
    }
  }
};

template <int kBits, int kTiles>
__global__ void __launch_bounds__(kFewThreads, kBlocksAtOnce<kTiles>) few_tokens(FewTokens f) {
  extern __shared__ __align__(16) std::uint8_t shared[];
  const Operands& o = f.o;
  const int me = static_cast<int>(threadIdx.x), warp = me / kWarp, lane = me % kWarp, part = lane % 4;
  const int chunks = static_cast<int>(o.chunks), groups = static_cast<int>(o.groups);
  const int turns = (chunks * kInChunk<kBits> + kTurnColumns - 1) / kTurnColumns;
  const int of_group = groups == 1 ? 1 : f.group_columns / kTurnColumns;
  const FewPlace place{
      f, shared, me, groups, turns, of_group, o.y_stride / kRows, 2 * static_cast<std::int64_t>(blockIdx.x)};
  const std::int64_t block = min(place.first_block + lane / 16, place.blocks - 1);
  const auto* codes = reinterpret_cast<const uint4*>(o.codes + block * o.chunks * kChunkBytes) + lane / 4 % 4;
  const auto turn_of = [&](int step) { return (step / of_group * kFewWarps + warp) * of_group + step % of_group; };
  const int units = (turns + of_group - 1) / of_group;
  const int steps = max(0, (units - warp + kFewWarps - 1) / kFewWarps) * of_group;
  constexpr int kAhead = 4 / Codes<kBits>::kLoads;
  Codes<kBits> ahead[kAhead];
  const auto load = [&](int step, Codes<kBits>& to) {
    const int chunk = turn_of(step) * (kTurnColumns / kInChunk<kBits>)+part * Codes<kBits>::kLoads;
    to.load(codes, step < steps ? chunk : chunks, chunks);
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) load(i, ahead[i]);
  place.fetch_scales();

  let_the_next_kernel_begin();
  wait_for_the_kernel_before();
  place.add_up_x();

  Sums<kTiles> mine;
  const auto give_to_slot = [&](int slot) {
    mine.give(lane, [&](int row, int token, int sum) {
      if (token < f.tokens) place.sums()[(slot * f.tokens + token) * kWarpRows + row] = sum;
    });
  };
  // Codes behind the end are zeros, but not their levels: so are the values of tokens there.
  const auto x_at = [&](int step, int tile) { return place.x_at(tile, lane, turn_of(step), step < steps); };
  for (int first = 0; first < steps; first += kAhead) {
    constexpr int kXAhead = kTiles == 1 ? kAhead : 1;  // their latency is long, and registers are few
    int4 x[kXAhead][kTiles];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int step = first + i;
      if (i % kXAhead == 0) {
#pragma unroll
        for (int j = 0; j < kXAhead * kTiles; ++j) x[j / kTiles][j % kTiles] = x_at(step + j / kTiles, j % kTiles);
      }
      const Codes<kBits> now = ahead[i];
      load(step + kAhead, ahead[i]);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) mine.add(now, tile, x[i % kXAhead][tile]);
      if (groups > 1 && step < steps && (step + 1) % of_group == 0) give_to_slot(turn_of(step) / of_group);
    }
  }
  if (groups == 1) give_to_slot(warp);
  asm volatile("cp.async.wait_all;\n");
  __syncthreads();
  place.write_rows();
}

// ---- many tokens

constexpr int kManyWarps = 4;  // of a thread block: 128 rows
constexpr int kManyThreads = kManyWarps * kWarp;
constexpr int kManyTiles = 8;  // 64 tokens
constexpr int kManyTokens = kManyTiles * kTileTokens;
constexpr int kStages = 4;

using Stage = std::int8_t[kManyTokens * kTurnColumns];

// What a thread knows of its warp's share: 32 rows and 64 tokens.
struct ManyPlace {
  const Operands& o;
  std::int64_t blocks, first_block, first_token;

  // By all threads of the block: the columns of a turn.
  __device__ void copy_turn(Stage* x, int turn, int turns) const {
#pragma unroll
    for (int i = static_cast<int>(threadIdx.x); i < kManyTokens * 4; i += kManyThreads) {
      const std::int64_t token = min(first_token + i / 4, o.tokens - 1), column = turn * kTurnColumns + (i % 4) * 16;
      const bool inside = turn < turns && column < o.x_stride;
      copy_ahead(&x[turn % kStages][i * 16], o.x + token * o.x_stride + (inside ? column : 0), inside);
    }
    asm volatile("cp.async.commit_group;\n");
  }
  // `before`, and what a group adds to it.
  __device__ float with_group(int group, int row, int token, int sum, float before) const {
    const std::int64_t at = (min(first_block + row / kRows, blocks - 1) * o.groups + group) * kRows + row % kRows;
    const std::int64_t in_all = min(first_token + token, o.tokens - 1);
    return fmaf(scale_of(o, at), static_cast<float>(sum - zero_of(o, at) * o.x_sums[in_all * o.groups + group]),
                before);
  }
  __device__ void write(int row, int token, float total) const {
    const std::int64_t in_all = first_token + token, out_block = first_block + row / kRows;
    if (in_all >= o.tokens || out_block >= blocks) return;
    o.y[in_all * o.y_stride + out_block * kRows + row % kRows] = total * o.x_scales[in_all];
  }
};

template <int kBits, bool kGrouped>
__global__ void __launch_bounds__(kManyThreads) many_tokens(Operands o, int group_columns) {
  __shared__ __align__(16) Stage x[kStages];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int part = lane % 4, chunks = static_cast<int>(o.chunks);
  const ManyPlace place{o, o.y_stride / kRows, (static_cast<std::int64_t>(blockIdx.x) * kManyWarps + warp) * 2,
                        static_cast<std::int64_t>(blockIdx.y) * kManyTokens};
  const std::int64_t block = min(place.first_block + lane / 16, place.blocks - 1);
  const int turns = (chunks * kInChunk<kBits> + kTurnColumns - 1) / kTurnColumns;
  const auto* codes = reinterpret_cast<const uint4*>(o.codes + block * o.chunks * kChunkBytes) + lane / 4 % 4;
  constexpr int kAhead = 4 / Codes<kBits>::kLoads;
  Codes<kBits> ahead[kAhead];
  const auto load = [&](int turn, Codes<kBits>& to) {
    const int chunk = turn * (kTurnColumns / kInChunk<kBits>)+part * Codes<kBits>::kLoads;
    to.load(codes, chunk, chunks);
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) load(i, ahead[i]);
  wait_for_the_kernel_before();
  for (int turn = 0; turn < kStages - 1; ++turn) place.copy_turn(x, turn, turns);

  Sums<kManyTiles> sums;
  constexpr int kOwn = kGrouped ? kManyTiles * 8 : 1;
  float totals[kOwn] = {};
  int group = 0;
  for (int first = 0; first < turns; first += kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int turn = first + i;
      if (turn >= turns) break;
      asm volatile("cp.async.wait_group %0;\n" ::"n"(kStages - 2));
      __syncthreads();
      place.copy_turn(x, turn + kStages - 1, turns);
      const Codes<kBits> now = ahead[i];
      load(turn + kAhead, ahead[i]);
#pragma unroll
      for (int tile = 0; tile < kManyTiles; ++tile) {
        const auto* at = &x[turn % kStages][(tile * kTileTokens + lane / 4) * kTurnColumns + part * 16];
        sums.add(now, tile, *reinterpret_cast<const int4*>(at));
      }
      if (kGrouped && ((turn + 1) * kTurnColumns % group_columns == 0 || turn + 1 == turns)) {
        int own = 0;
        sums.give(lane, [&](int row, int token, int sum) {
          totals[own % kOwn] = place.with_group(group, row, token, sum, totals[own % kOwn]);
          ++own;
        });
        ++group;
      }
    }
  }
  int own = 0;
  sums.give(lane, [&](int row, int token, int sum) {
    place.write(row, token, kGrouped ? totals[own % kOwn] : place.with_group(group, row, token, sum, 0.0f));
    ++own;
  });
}

// ---- rows

__global__ void some_rows(Operands o, std::int64_t group_columns, const std::int64_t* indices, std::int64_t columns,
                          float* out) {
  const std::int64_t index = indices[blockIdx.x], block = index / kRows, row = index % kRows;
  const std::int64_t in_chunk = 32 / o.bits;
  const unsigned mask = (1u << o.bits) - 1;
  for (std::int64_t k = threadIdx.x; k < columns; k += blockDim.x) {
    const std::int64_t place = k % in_chunk, at = (block * o.groups + k / group_columns) * kRows + row;
    const unsigned byte = o.codes[(block * o.chunks + k / in_chunk) * kChunkBytes + 4 * row + place % 4];
    const int zero = o.zero + (o.zero_points == nullptr ? 0 : o.zero_points[at]);
    const int level = static_cast<int>(byte >> (o.bits * (place / 4)) & mask) - zero;
    out[blockIdx.x * columns + k] = __half2float(__float2half_rn(static_cast<float>(level) * scale_of(o, at)));
  }
}

// ---- choosing

constexpr std::int64_t kFewTokens = 32;

template <int kBits, int kTiles>
void start_few(const Operands& o, std::int64_t group_columns, const std::int32_t* sums, DeviceStream stream) {
  const int groups = static_cast<int>(o.groups), tokens = static_cast<int>(o.tokens);
  FewTokens f = {o, sums, tokens, static_cast<int>(group_columns)};
  f.x_sums_at = (groups == 1 ? kFewWarps : groups) * tokens * kWarpRows * 4;
  f.scales_at = (f.x_sums_at + groups * tokens * 4 + 15) / 16 * 16;
  const auto bytes = static_cast<std::size_t>(f.scales_at + groups * kWarpRows * 2);
  if (bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(few_tokens<kBits, kTiles>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes)),
          "asking for shared memory");
  }
  const std::int64_t blocks = o.y_stride / kRows;
  launch(few_tokens<kBits, kTiles>, dim3(static_cast<unsigned>((blocks + 1) / 2)), kFewThreads, bytes, stream, f);
}

// How many tokens at once few_tokens takes: as many as leave its sums in shared memory. 0: not even one.
std::int64_t tokens_at_once(std::int64_t groups) {
  static const int limit = attribute_of_this_gpu(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const std::int64_t slots = groups == 1 ? kFewWarps : groups;
  const std::int64_t scales = groups * kWarpRows * 2 + 16, of_token = slots * kWarpRows * 4 + groups * 4;
  return std::clamp<std::int64_t>((limit - scales) / of_token, 0, kFewTokens);
}

template <int kBits>
void multiply_few(Operands o, std::int64_t group_columns, const std::int32_t* sums, DeviceStream stream) {
  const std::int64_t most = tokens_at_once(o.groups);
  const std::int64_t turns = (o.x_stride + kTurnColumns - 1) / kTurnColumns;
  std::int64_t left = o.tokens;
  while (left > 0) {
    o.tokens = std::min(left, most);
    (o.tokens <= 8    ? start_few<kBits, 1>
     : o.tokens <= 16 ? start_few<kBits, 2>
                      : start_few<kBits, 4>)(o, group_columns, sums, stream);
    left -= o.tokens;
    o.x += o.tokens * o.x_stride;
    o.x_scales += o.tokens;
    o.y += o.tokens * o.y_stride;
    sums += o.tokens * turns;
  }
}

template <int kBits>
void multiply_many(const Operands& o, std::int64_t group_columns, DeviceStream stream) {
  const std::int64_t blocks = o.y_stride / kRows;
  const dim3 grid(static_cast<unsigned>((blocks + 2 * kManyWarps - 1) / (2 * kManyWarps)),
                  static_cast<unsigned>((o.tokens + kManyTokens - 1) / kManyTokens));
  launch(o.groups == 1 ? many_tokens<kBits, false> : many_tokens<kBits, true>, grid, kManyThreads, 0, stream, o,
         static_cast<int>(group_columns));
}

template <int kBits>
void multiply_bits(Operands o, std::int64_t group_columns, const std::int32_t* sums, std::int32_t* group_sums,
                   DeviceStream stream) {
  if (o.tokens <= kFewTokens && tokens_at_once(o.groups) > 0)
    return multiply_few<kBits>(o, group_columns, sums, stream);
  const std::int64_t count = o.tokens * o.groups;
  const auto turns = static_cast<int>((o.x_stride + kTurnColumns - 1) / kTurnColumns);
  launch(add_up_groups, dim3(static_cast<unsigned>((count + 255) / 256)), 256, 0, stream, sums, turns,
         static_cast<int>(o.groups), o.groups == 1 ? turns : static_cast<int>(group_columns / kTurnColumns), count,
         group_sums);
  o.x_sums = group_sums;
  multiply_many<kBits>(o, group_columns, stream);
}

}  // namespace

void quantize_on_device(const DeviceTokens& tokens, DeviceStream stream) {
  const std::int64_t units = tokens.stride / kPadding;
  const auto threads = static_cast<int>(std::min<std::int64_t>(1024, (units + kWarp - 1) / kWarp * kWarp));
  launch(quantize, dim3(static_cast<unsigned>(tokens.tokens)), threads, 0, stream, tokens);
}

void multiply_on_device(const Operands& operands, std::int64_t group_columns, const std::int32_t* sums,
                        std::int32_t* group_sums, DeviceStream stream) {
  if (operands.bits == 2) return multiply_bits<2>(operands, group_columns, sums, group_sums, stream);
  if (operands.bits == 4) return multiply_bits<4>(operands, group_columns, sums, group_sums, stream);
  multiply_bits<8>(operands, group_columns, sums, group_sums, stream);
}

void rows_on_device(const Operands& operands, std::int64_t group_columns, const std::int64_t* indices,
                    std::int64_t count, std::int64_t columns, float* out, DeviceStream stream) {
  some_rows<<<static_cast<unsigned>(count), 256, 0, static_cast<cudaStream_t>(stream)>>>(operands, group_columns,
                                                                                         indices, columns, out);
  check(cudaGetLastError(), "reading rows of packed weights");
}

}  // namespace tercet::kernels
