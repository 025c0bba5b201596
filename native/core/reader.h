// Who reads the weights of a group and counts: this processor, or a GPU. The search for ranks
// (rank.h) is written once over it.
#ifndef SECATEUR_CORE_READER_H_
#define SECATEUR_CORE_READER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/class_pass.h"
#include "core/sample.h"

namespace secateur {

struct RankedWeight {
  uint64_t value = 0;                     // in the key domain
  std::shared_ptr<const ClassPass> pass;  // the pass that has found it,
  size_t class_index = 0;                 // in this class
};

// A rank whose weight is among the stored keys of a pass.
struct StoredRank {
  size_t class_index;
  int64_t in_class;      // among the keys of its class
  int64_t among_stored;  // among all that are stored
};

// How many weights lie below a threshold, and at it.
struct Tally {
  int64_t below;
  int64_t ties;

  Tally& operator+=(const Tally& other) {
    below += other.below;
    ties += other.ties;
    return *this;
  }
};

// Of thresholds, in the order in which they were asked about; counted from what a pass has left,
// without reading the weights again.
class Tallies {
 public:
  virtual ~Tallies() = default;
  virtual Tally Of(size_t threshold, size_t tensor) const = 0;

  // The index just after the `kept`-th tie of a tensor, 0 < kept < its ties.
  virtual int64_t Cut(size_t threshold, size_t tensor, int64_t kept) const = 0;
};

class Reader {
 public:
  explicit Reader(const PassContext& context) : context_(context) {}
  virtual ~Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  const PassContext& context() const { return context_; }

  // Of the `count` weights of the group.
  virtual Sample Take(int64_t count) const = 0;
  virtual std::shared_ptr<const ClassPass> Pass(Cuts cuts) const = 0;
  // The values of stored ranks, in the key domain.
  virtual std::vector<uint64_t> ValuesStored(const ClassPass& pass,
                                             const std::vector<StoredRank>& ranks) const = 0;
  virtual std::unique_ptr<Tallies> TallyAll(const std::vector<RankedWeight>& found) const = 0;
  // Throws NONFINITE_WEIGHT for the first of those that the pass has counted.
  [[noreturn]] virtual void ThrowNonfinite(const ClassPass& pass) const = 0;

 private:
  const PassContext& context_;
};

// The index in [0, count) just after the `kept`-th of the elements whose keys are in [begin, end);
// throws FILE_CHANGED where there are not as many.
int64_t CutAmong(const Backend& backend, DType dtype, const std::byte* elements, int64_t count,
                 uint64_t begin, uint64_t end, int64_t kept);

// Throws NONFINITE_WEIGHT for the first such element of a stretch that begins at `first`; returns
// where there is none.
void ThrowIfNonfiniteIn(const Tensor& tensor, int64_t first, const std::byte* elements,
                        int64_t count);

[[noreturn]] void ThrowChanged();

}  // namespace secateur

#endif  // SECATEUR_CORE_READER_H_
