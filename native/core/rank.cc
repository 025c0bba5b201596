#include "core/rank.h"

#include <algorithm>
#include <deque>

#include "core/brackets.h"
#include "core/chunks.h"
#include "secateur/error.h"

namespace secateur {
namespace {

constexpr int64_t kStorable = 4096;     // as few are stored without a sample
constexpr size_t kTargetsPerPass = 12;  // together they store less than a pass may

class Search {
 public:
  Search(const Reader& reader, int64_t count, const std::vector<int64_t>& removed,
         bool allow_nonfinite)
      : reader_(reader),
        context_(reader.context()),
        count_(count),
        allow_nonfinite_(allow_nonfinite),
        found_(removed.size()) {
    std::vector<Bracket> brackets(removed.size(),
                                  Bracket{0, context_.domain.infinity() - 1, false, false});
    std::vector<int64_t> ranks;
    for (int64_t goes : removed) ranks.push_back(std::min(goes, count - 1));
    if (count > kStorable) brackets = BracketsFromSample(reader, count, ranks);
    for (size_t i = 0; i < removed.size(); ++i)
      pending_.push_back({i, ranks[i], brackets[i], false});
  }

  std::vector<RankedWeight> Run() {
    while (!pending_.empty()) {
      std::vector<Target> batch;
      Cuts cuts = NextCuts(batch);
      if (context_.monitor) context_.monitor->Begin(Phase::kSelect, TotalBytes(context_.tensors));
      const auto pass = reader_.Pass(std::move(cuts));
      const int64_t nonfinite = pass->AtLeast(pass->cuts().values.size() - 1);
      if (nonfinite > 0 && !allow_nonfinite_) reader_.ThrowNonfinite(*pass);
      Resolve(pass, batch, count_ - nonfinite);
    }
    return std::move(found_);
  }

 private:
  struct Target {
    size_t index;  // in found_
    int64_t rank;
    Bracket bracket;
    bool too_many;  // to be stored: split the bracket instead
  };
  struct Inside {  // targets whose answers are among the stored keys
    std::vector<size_t> indices;
    std::vector<StoredRank> ranks;
  };

  // Moves as many targets as one pass can serve from pending_ to `batch`.
  Cuts NextCuts(std::vector<Target>& batch) {
    const uint64_t infinity = context_.domain.infinity();
    if (pending_.front().too_many) {
      batch.push_back(pending_.front());
      pending_.pop_front();
      return EvenCuts(batch[0].bracket.first, batch[0].bracket.last, infinity);
    }
    std::vector<Bracket> brackets;
    Cuts cuts;
    while (!pending_.empty() && !pending_.front().too_many && batch.size() < kTargetsPerPass) {
      brackets.push_back(pending_.front().bracket);
      Cuts longer = CutsFor(brackets, infinity);
      if (longer.values.size() > kMaxBounds) break;
      cuts = std::move(longer);
      batch.push_back(pending_.front());
      pending_.pop_front();
    }
    return cuts;
  }

  void Resolve(const std::shared_ptr<const ClassPass>& pass, const std::vector<Target>& batch,
               int64_t finite) {
    Inside inside;
    for (Target target : batch) {
      if (finite == 0) {  // nothing may be removed
        found_[target.index] = {context_.domain.infinity(), pass, pass->cuts().values.size()};
        continue;
      }
      target.rank = std::min(target.rank, finite - 1);
      ResolveOne(pass, target, inside);
    }
    if (inside.ranks.empty()) return;
    const std::vector<uint64_t> values = reader_.ValuesStored(*pass, inside.ranks);
    for (size_t i = 0; i < values.size(); ++i) found_[inside.indices[i]].value = values[i];
  }

  void ResolveOne(const std::shared_ptr<const ClassPass>& pass, Target target, Inside& inside) {
    const std::vector<uint64_t>& cuts = pass->cuts().values;
    size_t j = 0;
    int64_t stored_below = 0;
    int64_t begin = 0;  // rank of the first weight of class j
    for (; count_ - pass->AtLeast(j) <= target.rank; ++j) {
      const int64_t end = count_ - pass->AtLeast(j);
      if (pass->cuts().stored[j]) stored_below += end - begin;
      begin = end;
    }
    const uint64_t first = j == 0 ? 0 : cuts[j - 1];
    const int64_t class_count = count_ - pass->AtLeast(j) - begin;
    if (cuts[j] - first == 1) {
      found_[target.index] = {first, pass, j};
    } else if (pass->cuts().stored[j] && !pass->overflowed()) {
      found_[target.index] = {0, pass, j};
      const int64_t in_class = target.rank - begin;
      inside.indices.push_back(target.index);
      inside.ranks.push_back({j, in_class, stored_below + in_class});
    } else {
      const bool too_many =
          class_count > kStorable && (pass->overflowed() || class_count > count_ / 64);
      pending_.push_back({target.index, target.rank, {first, cuts[j] - 1, false, false}, too_many});
    }
  }

  const Reader& reader_;
  const PassContext& context_;
  int64_t count_;
  bool allow_nonfinite_;
  std::deque<Target> pending_;
  std::vector<RankedWeight> found_;
};

}  // namespace

std::vector<RankedWeight> FindRanks(const Reader& reader, int64_t count,
                                    const std::vector<int64_t>& removed, bool allow_nonfinite) {
  return Search(reader, count, removed, allow_nonfinite).Run();
}

}  // namespace secateur
