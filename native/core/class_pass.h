// One read of the weights of a group: every weight is put into a class, classes are counted a chunk
// at a time, and the keys of stored classes are put aside.
#ifndef SECATEUR_CORE_CLASS_PASS_H_
#define SECATEUR_CORE_CLASS_PASS_H_

#include <cstdint>
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

class ClassPass {
 public:
  // Reads all chunks. When stored keys would take more than a bound on memory, storing ends and
  // `overflowed` says so; the counts are right all the same.
  ClassPass(const PassContext& context, Cuts cuts);

  const Cuts& cuts() const { return cuts_; }
  bool overflowed() const { return overflowed_; }

  // Weights of chunk `chunk`, or of all, at or above cut `j`.
  int64_t AtLeast(int64_t chunk, size_t j) const {
    return at_least_[chunk * cuts_.values.size() + j];
  }
  int64_t AtLeast(size_t j) const { return totals_[j]; }

  // The keys that chunk `chunk` has stored, in order, in the type of its tensor.
  struct Segment {
    std::byte* keys;
    int64_t count;
  };
  const Segment& StoredBy(int64_t chunk) const { return segments_[chunk]; }
  int64_t stored_count() const { return stored_count_; }

 private:
  struct Worker;
  template <class Key>
  void Classify(const PassContext& context, int64_t index, const std::byte* bytes, Worker& worker);

  Cuts cuts_;
  uint32_t store_edges_;
  std::vector<std::vector<uint64_t>> bounds_;  // a tensor: the cuts as keys of its own
  std::vector<int64_t> at_least_;              // [chunk][cut]
  std::vector<int64_t> totals_;
  std::vector<Segment> segments_;
  std::vector<KeyBuffer> buffers_;
  int64_t stored_count_ = 0;
  bool overflowed_ = false;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_CLASS_PASS_H_
