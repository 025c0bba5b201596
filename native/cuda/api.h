// The border of the CUDA library: plain structs and one table of functions, the same for every
// compiler, so that the library is built by itself, and loaded only when a GPU is asked for. Work
// is queued on streams; nothing waits but what says so. Knows no selections: drivers are in
// native/core/device_*.
#ifndef SECATEUR_CUDA_API_H_
#define SECATEUR_CUDA_API_H_

#include <cstddef>
#include <cstdint>

#include "secateur/optimizer_kernels.h"

namespace secateur::cuda {

// Counts up with every change of this file; a library of another number is refused.
inline constexpr int32_t kAbi = 2;
// What dlsym finds: const Api* secateur_cuda_api(int32_t abi), null for another ABI.
inline constexpr const char* kEntryPoint = "secateur_cuda_api";

inline constexpr int64_t kTile = 8192;         // elements that a block of threads takes at a time
inline constexpr int64_t kAlignment = 256;     // bytes, of every tensor
inline constexpr int kMaxCuts = 31;            // as kMaxBounds of secateur/backend.h
inline constexpr int kBins = 2048;             // of a histogram
inline constexpr int64_t kSumBlock = 1024;     // elements that are summed by sixteen lanes
inline constexpr int64_t kSumStretch = 32768;  // elements whose sum is one result

// One tensor of a group. Tiles are numbered over the group; a tensor of n elements has
// ceil(n / kTile), so that any number of tensors is one launch and no list of tiles is needed.
struct Entry {
  int64_t offset;      // bytes from the base to its first element, a multiple of 16
  int64_t count;       // elements, may exceed 2^32
  int64_t first_tile;  // tiles of the tensors before it
  int64_t first;       // elements of the tensors before it
  double factor;
  int32_t dtype;  // a DType, not kFloat64
  int32_t padding;
};

// Tiles [begin, end) of a group whose first weights would be at `base`.
struct Tiles {
  const std::byte* base;
  const Entry* entries;
  int64_t entry_count;
  int64_t begin;
  int64_t end;
};

// The keys that a tile has stored, in `stored` of the pass, in the order of the weights.
struct Segment {
  int64_t begin;
  int64_t count;
};

struct SampleArgs {
  Tiles tiles;
  int64_t elements;  // of the group
  int64_t blocks;    // of 16 neighbouring elements, see core/sample_places.h
  bool uniform;      // whether values are keys, or scores
  int32_t value_bytes;
  void* values;  // [blocks * 16]
};

// Counts classes tile by tile and stores the keys of some, as Kernels::classify does.
struct ClassifyArgs {
  Tiles tiles;
  const uint32_t* bounds;  // [tensor][cut]
  int32_t cut_count;       // 1 .. kMaxCuts
  uint32_t store_edges;
  uint32_t* counts;            // [tile][cut], set: elements at or above the cut
  unsigned long long* totals;  // [cut], added to
  uint32_t* stored;            // null: count only
  int64_t capacity;            // keys that fit in `stored`
  unsigned long long* next;    // keys stored so far; above `capacity` not all were
  Segment* segments;           // [tile], set where something may be stored
};

// Adds to bins[(value - first) >> shift] the stored keys with values in [first, last].
struct HistogramArgs {
  Tiles tiles;
  const Segment* segments;
  const uint32_t* stored;
  bool uniform;
  uint64_t first;
  uint64_t last;
  int32_t shift;
  unsigned long long* bins;  // [kBins]
};

// Where a threshold's class begins, where its ties begin, and where they end, as keys of a tensor.
struct Marks {
  uint32_t first;
  uint32_t begin;
  uint32_t end;
};

// Below a threshold, and at it.
struct TallyArgs {
  Tiles tiles;
  const uint32_t* counts;  // of the pass
  int32_t cut_count;
  int32_t class_index;      // the threshold's class in the pass
  bool class_stored;        // then stored keys decide
  const Segment* segments;  // null where nothing was stored
  const uint32_t* stored;
  const Marks* marks;           // [tensor]
  uint32_t* tile_ties;          // [tile], set
  unsigned long long* tallies;  // [tensor][below, ties], added to
};

// A weight stays if its key is at or above `end`, or at or above `begin` with an index below `cut`.
struct Bounds {
  uint32_t begin;
  uint32_t end;
  int64_t cut;
};

struct MaskArgs {
  Tiles tiles;
  std::byte* out;                // the base of the results; may be that of the weights
  const Bounds* bounds;          // [tensor]
  unsigned long long* nonzeros;  // [tensor], added to: elements of the result that are not zero
};

// Bit i (least significant first) of a tensor's words = element i is kept; bits past its end are 0.
struct PackArgs {
  Tiles tiles;
  const Bounds* bounds;
  const int64_t* first_word;  // [tensor]
  uint32_t* words;
};

// What one tensor of a store takes part in.
struct StepSwitches {
  Bounds admm;  // what Z keeps of V
  bool prune;
  bool decay;
  bool masked;
};

enum class Update : int32_t { kPlain, kMomentum, kAdam };

// One step of an optimizer, everything fused; as core/optimizer.cc, operation by operation. Arrays
// have one layout: `base` of the tiles is 0, an element of w is at w + offset.
struct StepArgs {
  Tiles tiles;
  float* w;
  const float* g;
  float* m;                      // null with kPlain
  float* v;                      // null but with kAdam
  const float* admm;             // V; null: no pull
  const uint8_t* support;        // a byte a weight: what Z keeps of V; null: the switches say
  const uint8_t* keep;           // a byte a weight; null: no mask
  const StepSwitches* switches;  // [tensor]
  Update update;
  float scale;
  float l2;
  float shrink;  // 1: no decoupled decay
  bool decay_after;
  float rho;
  float dual;
  MomentumArgs momentum;  // with kPlain only its rate
  AdamArgs adam;
};

// sums[stretch] = the sum of squares of kSumStretch elements of a tensor, in the order of
// core/optimizer.cc; tiles are stretches here.
struct NormArgs {
  Tiles tiles;
  const float* x;
  const uint8_t* keep;           // null: no mask
  const StepSwitches* switches;  // [tensor]
  double* sums;
};

// next = W + U of pruned tensors.
struct NextArgs {
  Tiles tiles;
  float* next;
  const float* w;
  const float* v;
  const Bounds* before;  // [tensor]
  float dual;
};

// V := next, and what that moves, as core/admm.cc sums it; tiles are stretches here.
struct ProjectArgs {
  Tiles tiles;
  float* v;
  const float* w;
  const Bounds* before;  // [tensor]
  const Bounds* after;
  float dual;
  double* gap;       // [stretch]
  double* moved;     // [stretch]
  int64_t* changed;  // [stretch]
};

struct DeviceInfo {
  char name[256];
  int32_t major;
  int32_t minor;
  int32_t processors;
  int32_t driver;   // 12040 is 12.4
  int32_t runtime;  // what the library was built with
  int64_t total_bytes;
};

using Stream = void*;
using Event = void*;

// Functions return 0, or the number of a failure of CUDA's, whose sentence is `message(number)`.
// A kernel's own failure shows when its stream is waited for.
struct Api {
  int32_t abi;
  const char* (*message)(int32_t failure);
  int32_t (*describe)(DeviceInfo* out);
  int32_t (*free_bytes)(int64_t* out);  // what allocate() can give

  int32_t (*create_stream)(Stream* out);
  void (*destroy_stream)(Stream stream);
  int32_t (*wait_stream)(Stream stream);  // waits
  int32_t (*create_event)(Event* out);
  void (*destroy_event)(Event event);
  int32_t (*record)(Event event, Stream stream);
  int32_t (*wait_event)(Event event);                           // waits
  int32_t (*elapsed)(Event begin, Event end, double* seconds);  // of two that have been waited for

  // In the order of the stream: freed memory may go to its next allocation.
  int32_t (*allocate)(int64_t bytes, Stream stream, void** out);
  void (*release)(void* memory, Stream stream);
  int32_t (*allocate_pinned)(int64_t bytes, void** out);
  void (*release_pinned)(void* memory);
  int32_t (*upload)(void* to, const void* from, int64_t bytes, Stream stream);
  int32_t (*download)(void* to, const void* from, int64_t bytes, Stream stream);
  int32_t (*copy)(void* to, const void* from, int64_t bytes, Stream stream);  // on the device
  int32_t (*zero)(void* memory, int64_t bytes, Stream stream);

  int32_t (*sample)(const SampleArgs* args, Stream stream);
  int32_t (*classify)(const ClassifyArgs* args, Stream stream);
  int32_t (*histogram)(const HistogramArgs* args, Stream stream);
  int32_t (*tally)(const TallyArgs* args, Stream stream);
  int32_t (*mask)(const MaskArgs* args, Stream stream);
  int32_t (*pack)(const PackArgs* args, Stream stream);
  int32_t (*step)(const StepArgs* args, Stream stream);
  int32_t (*norm)(const NormArgs* args, Stream stream);
  int32_t (*next)(const NextArgs* args, Stream stream);
  int32_t (*project)(const ProjectArgs* args, Stream stream);
  // Reads every byte: the floor. `result` gets a value that depends on each.
  int32_t (*read)(const void* memory, int64_t bytes, uint32_t* result, Stream stream);
};

using EntryPoint = const Api* (*)(int32_t abi);

}  // namespace secateur::cuda

#endif  // SECATEUR_CUDA_API_H_
