// Pruning weights where they lie in files. A plan names byte ranges: where the weights are in the
// sources, and of which ranges and literal bytes each output consists. Weights are read in pieces
// that fit the cache; memory use does not grow with the files.
//
// Sources are read with pread, not mapped: on files in the page cache it is as fast (38 GB/s
// against 34 with two threads, docs/performance.md), and a file that shrinks meanwhile is an error
// here, not a SIGBUS.
#ifndef SECATEUR_PRUNE_FILES_H_
#define SECATEUR_PRUNE_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "secateur/groups.h"
#include "secateur/select.h"

namespace secateur {

struct FileSourceSpec {
  std::string path;
  int64_t size;  // what the plan was made from
};

struct FileRange {
  int source;
  int64_t offset;
  int64_t bytes;
};

enum class Encoding : uint8_t {
  kFlat,    // fixed-width elements
  kVarint,  // protobuf varints that hold 16-bit patterns; a removed one becomes an over-long zero
            // of equal length
};

struct FileTensor {
  std::string name;
  DType dtype;
  double factor;
  Encoding encoding;
  int64_t count;
  std::vector<FileRange> runs;  // do not overlap, within and between tensors
};

struct OutputPiece {
  FileRange range{-1, 0, 0};  // source < 0: the literal instead
  std::string literal;
};

struct OutputSpec {
  std::string path;
  std::vector<OutputPiece> pieces;
};

struct PruneJob {
  std::vector<FileSourceSpec> sources;
  std::vector<FileTensor> tensors;
  SelectOptions select;
  std::optional<Grouping> grouping;  // of the tensors; none: each weight by itself
  std::vector<OutputSpec>
      outputs;  // none: select only, for any number of ratios; else exactly one ratio
};

struct PruneResult {
  std::vector<Selection> selections;     // of groups: the counts only, no thresholds to mask by
  std::optional<GroupSelection> groups;  // without its support
  std::vector<int64_t> zeros;  // of each tensor, counted in the written files; without outputs what
                               // they would be, for groups only
  double select_seconds = 0;
  double apply_seconds = 0;  // writing and checking
  int threads = 1;
};

// Selects, writes every output beside its path under a temporary name, counts the zeros in what was
// written, checks that the sources are as they were, and renames the outputs in order. On any
// failure the temporary files are removed and nothing else has changed. Throws Error: what Select
// throws; FILE_CHANGED; IO with errno's name; INVALID_MODEL; INTERNAL.
PruneResult PruneFiles(const PruneJob& given);

// The zeros of each tensor.
std::vector<int64_t> CountZerosInFiles(const std::vector<FileSourceSpec>& sources,
                                       const std::vector<FileTensor>& tensors,
                                       const SelectOptions& options);

}  // namespace secateur

#endif  // SECATEUR_PRUNE_FILES_H_
