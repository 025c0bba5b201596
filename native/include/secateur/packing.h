// Packed tensors: where the non-zero weights are and what they are, as two short byte streams. The
// format is written down in docs/pack.md; the operators that unpack it inside a model are
// src/pack/'s business.
//
// Several tensors make one stream: their elements, one tensor after the other, are one sequence. A
// weight is zero when all its bits are: -0 is a value. The same bits for every backend and number
// of threads.
#ifndef SECATEUR_PACKING_H_
#define SECATEUR_PACKING_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "secateur/backend.h"
#include "secateur/monitor.h"
#include "secateur/prune_files.h"
#include "secateur/tensor.h"

namespace secateur {

enum class Positions : uint8_t {
  kAll,      // no positions: every element has a value
  kGaps8,    // codes of 8 bits, see GapCode
  kGaps4,    // codes of 4 bits, the first in the low half; an odd one is followed by a filler
  kMask,     // bit i (least significant first) = element i has a value; padded with zeros
  kIndices,  // linear indices, ascending, as protobuf varints
};

// Values have the positions' order. All but those of kAll and kIndices begin with an extra 0.
enum class ValueForm : uint8_t {
  kSame,      // the element's own bits
  kFloat16,   // of float32, nearest, ties to even
  kCodebook,  // of float32, a byte: 0 is 0, n is the codebook's entry n - 1
};

// Gaps are counted from the end of the sequence towards its start: from the end to the last value,
// from there to the one before. A code below `filler` is that distance less 1; a filler goes
// `filler` elements on and has no value. A distance is at least 1, so no filler ends where a value
// lies.
struct GapCode {
  int64_t filler;
  constexpr int64_t CodesOf(int64_t distance) const {
    return distance <= filler ? 1 : 1 + (distance - 1) / filler;  // dividing is slow, and rare
  }
};
inline constexpr GapCode kGapCode8{255};
inline constexpr GapCode kGapCode4{15};

inline constexpr int kCodebookEntries = 255;  // besides 0

struct PackingOptions {
  int threads = 0;                   // at most; 0: all cores
  const Backend* backend = nullptr;  // null: ActiveBackend()
  Monitor* monitor = nullptr;
};

// What a tensor on its own would need.
struct PackingSizes {
  int64_t nonzeros = 0;
  int64_t codes8 = 0;
  int64_t codes4 = 0;
  int64_t index_bytes = 0;  // of kIndices
  double largest = 0;       // magnitude; NaN if one is
};
std::vector<PackingSizes> MeasurePacking(const std::vector<Tensor>& tensors,
                                         const PackingOptions& options);

struct ValueError {
  double largest = 0;  // of |packed - original|, over the values
  double sum = 0;
};

struct PackedStream {
  std::vector<std::byte> positions;
  std::vector<std::byte> values;
  int64_t nonzeros = 0;
  bool padded = false;             // kGaps4: the last code is no value's
  std::vector<ValueError> errors;  // of each tensor
};

// Packs tensors of one element type. `codebook` is ascending, finite, of 1 to 255 entries, and
// needed for kCodebook only. Throws Error INTERNAL on a form that does not fit the type, and what
// the sources throw.
PackedStream EncodePacked(const std::vector<Tensor>& tensors, Positions positions, ValueForm form,
                          std::span<const float> codebook, const PackingOptions& options);

// At most 255 values, ascending, that stand for the non-zero float32 weights with a small squared
// error; the weights themselves where there are as few different ones. Lloyd's algorithm on sorted
// weights (of more than 2^18, that many taken evenly). Throws NONFINITE_WEIGHT.
std::vector<float> MakeCodebook(const std::vector<Tensor>& tensors, const PackingOptions& options);

// Two streams as they lie in a file that nobody has checked.
struct PackedView {
  Positions positions = Positions::kAll;
  ValueForm form = ValueForm::kSame;
  int64_t element_bytes = 4;  // of an unpacked element: 2, 4 or 8
  int64_t count = 0;          // elements to unpack; with kMask, 8 for each byte of it
  std::span<const std::byte> position_bytes;
  std::span<const std::byte> value_bytes;
  std::span<const float> codebook;  // its entry 0 is 0
};

// Unpacks into `out` (count * element_bytes, all zeros). Throws Error INVALID_MODEL where a
// position lies outside, or there are more or fewer values than positions, or a code has no entry.
void DecodePacked(const PackedView& view, std::byte* out, const PackingOptions& options);

// Tensors in files.
struct FileTensors {
  std::vector<FileSourceSpec> sources;
  std::vector<FileTensor> tensors;
};

// The same for tensors in files, which must not change meanwhile: IO, FILE_CHANGED, INVALID_MODEL.
std::vector<PackingSizes> MeasurePacking(const FileTensors& files, const PackingOptions& options);
PackedStream EncodePacked(const FileTensors& files, Positions positions, ValueForm form,
                          std::span<const float> codebook, const PackingOptions& options);
std::vector<float> MakeCodebook(const FileTensors& files, const PackingOptions& options);

}  // namespace secateur

#endif  // SECATEUR_PACKING_H_
