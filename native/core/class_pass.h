// One read of the weights of a group: every weight is put into a class, classes are counted a chunk
// at a time, and the keys of stored classes are put aside.
#ifndef SECATEUR_CORE_CLASS_PASS_H_
#define SECATEUR_CORE_CLASS_PASS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "core/chunks.h"
#include "core/cuts.h"
#include "core/key_buffer.h"
#include "core/key_domain.h"
#include "secateur/backend.h"
#include "secateur/monitor.h"
#include "secateur/tensor.h"

namespace secateur {

struct PassContext {
  const std::vector<Tensor>& tensors;
  const std::vector<Chunk>& chunks;
  const KeyDomain& domain;
  const Backend& backend;
  int threads;
  Monitor* monitor;  // null: no progress, no cancelling
};

// What a pass leaves: totals here, what is counted a chunk or a tile at a time where it was read.
class ClassPass {
 public:
  virtual ~ClassPass() = default;

  const Cuts& cuts() const { return cuts_; }
  // When stored keys would take more than a bound on memory, storing ends and this says so; the
  // counts are right all the same.
  bool overflowed() const { return overflowed_; }
  // Weights at or above cut `j`.
  int64_t AtLeast(size_t j) const { return totals_[j]; }
  int64_t stored_count() const { return stored_count_; }

 protected:
  explicit ClassPass(Cuts cuts) : cuts_(std::move(cuts)), totals_(cuts_.values.size()) {}

  Cuts cuts_;
  std::vector<int64_t> totals_;
  int64_t stored_count_ = 0;
  bool overflowed_ = false;
};

// The cuts as keys of each tensor.
std::vector<std::vector<uint64_t>> BoundsOf(const PassContext& context, const Cuts& cuts);

class HostPass final : public ClassPass {
 public:
  // Reads all chunks.
  HostPass(const PassContext& context, Cuts cuts);

  using ClassPass::AtLeast;
  // Weights of chunk `chunk` at or above cut `j`.
  int64_t AtLeast(int64_t chunk, size_t j) const {
    return at_least_[chunk * cuts_.values.size() + j];
  }

  // The keys that chunk `chunk` has stored, in order, in the type of its tensor.
  struct Segment {
    std::byte* keys;
    int64_t count;
  };
  const Segment& StoredBy(int64_t chunk) const { return segments_[chunk]; }

 private:
  struct Worker;
  template <class Key>
  void Classify(const PassContext& context, int64_t index, const std::byte* bytes, Worker& worker);

  uint32_t store_edges_;
  std::vector<std::vector<uint64_t>> bounds_;
  std::vector<int64_t> at_least_;  // [chunk][cut]
  std::vector<Segment> segments_;
  std::vector<KeyBuffer> buffers_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_CLASS_PASS_H_
