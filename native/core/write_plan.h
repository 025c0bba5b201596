// The outputs of a job as stretches of work: what is copied, what is masked, what comes from
// memory.
#ifndef SECATEUR_CORE_WRITE_PLAN_H_
#define SECATEUR_CORE_WRITE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/open_files.h"
#include "secateur/prune_files.h"

namespace secateur {

// A stretch of one output: bytes of a source, masked when they belong to a flat tensor, or bytes in
// memory.
struct Stretch {
  int output;
  int64_t offset;  // in the output
  int64_t bytes;
  const FileSource* source;  // null: `memory`
  int64_t source_offset;
  const std::byte* memory;
  int tensor;     // -1: no weights
  int64_t first;  // index of the first weight
};

// A run of a tensor, as found when walking through a source.
struct PlacedRun {
  FileRange range;
  int tensor;
  size_t run;
  int64_t first;
};

// Cuts the outputs into stretches. Every run must lie inside one copied range, or its weights would
// be lost.
class WritePlan {
 public:
  // `job` and `files` must outlive the plan. Throws INVALID_MODEL when tensors overlap, INTERNAL
  // when the pieces don't hold all of them.
  WritePlan(const PruneJob& job, OpenFiles& files);

  const std::vector<Stretch>& stretches() const { return stretches_; }
  // Of each output, in bytes.
  const std::vector<int64_t>& sizes() const { return sizes_; }

 private:
  int64_t AddLiteral(int output, int64_t offset, const std::string& literal);
  int64_t AddRange(int output, int64_t offset, const FileRange& range);
  void AddRun(int output, int64_t offset, const PlacedRun& run);
  void AddCopy(int output, int64_t offset, int source, int64_t source_offset, int64_t bytes,
               const PlacedRun* run);

  const PruneJob& job_;
  OpenFiles& files_;
  std::vector<PlacedRun> runs_;
  size_t placed_ = 0;
  std::vector<Stretch> stretches_;
  std::vector<int64_t> sizes_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_WRITE_PLAN_H_
