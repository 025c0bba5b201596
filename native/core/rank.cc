#include "core/rank.h"

#include <algorithm>
#include <deque>

#include "core/brackets.h"
#include "core/elements.h"
#include "core/parallel.h"
#include "core/values.h"

namespace secateur {
namespace {

constexpr int64_t kStorable = 4096;     // as few are stored without a sample
constexpr size_t kTargetsPerPass = 12;  // together they store less than a pass may

[[noreturn]] void ThrowNonfinite(const PassContext& context, const ClassPass& pass) {
  const size_t infinity = pass.cuts().values.size() - 1;
  for (size_t c = 0; c < context.chunks.size(); ++c) {
    if (pass.AtLeast(static_cast<int64_t>(c), infinity) == 0) continue;
    const Chunk& chunk = context.chunks[c];
    const Tensor& tensor = context.tensors[chunk.tensor];
    const int64_t element = ElementBytes(tensor.dtype);
    KeyBuffer scratch(chunk.count * element);
    const std::byte* bytes =
        chunk.source->Read(chunk.offset, chunk.count * element, scratch.data());
    for (int64_t i = 0; i < chunk.count; ++i) {
      const uint64_t key = KeyAt(tensor.dtype, bytes, i);
      if (key >= InfinityKey(tensor.dtype)) ThrowNonfiniteAt(tensor, chunk.first + i, key);
    }
  }
  throw Error("FILE_CHANGED", "The weights changed while they were read; nothing was written");
}

class Search {
 public:
  Search(const PassContext& context, int64_t count, const std::vector<int64_t>& removed,
         bool allow_nonfinite)
      : context_(context),
        count_(count),
        allow_nonfinite_(allow_nonfinite),
        found_(removed.size()) {
    std::vector<Bracket> brackets(removed.size(),
                                  Bracket{0, context.domain.infinity() - 1, false, false});
    std::vector<int64_t> ranks;
    for (int64_t goes : removed) ranks.push_back(std::min(goes, count - 1));
    if (count > kStorable) brackets = BracketsFromSample(context, count, ranks);
    for (size_t i = 0; i < removed.size(); ++i)
      pending_.push_back({i, ranks[i], brackets[i], false});
  }

  std::vector<RankedWeight> Run() {
    while (!pending_.empty()) {
      std::vector<Target> batch;
      Cuts cuts = NextCuts(batch);
      if (context_.monitor) context_.monitor->Begin(Phase::kSelect, TotalBytes(context_.tensors));
      const auto pass = std::make_shared<const ClassPass>(context_, std::move(cuts));
      const int64_t nonfinite = pass->AtLeast(pass->cuts().values.size() - 1);
      if (nonfinite > 0 && !allow_nonfinite_) ThrowNonfinite(context_, *pass);
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
  struct Inside {  // a target whose answer is among the stored keys
    size_t index;
    int64_t rank;  // among those
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
    std::vector<Inside> inside;
    for (Target target : batch) {
      if (finite == 0) {  // nothing may be removed
        found_[target.index] = {context_.domain.infinity(), pass, pass->cuts().values.size()};
        continue;
      }
      target.rank = std::min(target.rank, finite - 1);
      ResolveOne(pass, target, inside);
    }
    if (inside.empty()) return;
    const std::vector<uint64_t> values = ValuesStored(*pass, inside);
    for (size_t i = 0; i < inside.size(); ++i) found_[inside[i].index].value = values[i];
  }

  void ResolveOne(const std::shared_ptr<const ClassPass>& pass, Target target,
                  std::vector<Inside>& inside) {
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
      inside.push_back({target.index, stored_below + target.rank - begin});
    } else {
      const bool too_many =
          class_count > kStorable && (pass->overflowed() || class_count > count_ / 64);
      pending_.push_back({target.index, target.rank, {first, cuts[j] - 1, false, false}, too_many});
    }
  }

  // The stored keys as tensors in memory, and the values of ranks among them.
  std::vector<uint64_t> ValuesStored(const ClassPass& pass,
                                     const std::vector<Inside>& inside) const {
    std::vector<Tensor> tensors = context_.tensors;
    std::deque<MemorySource> sources;
    for (Tensor& tensor : tensors) {
      tensor.count = 0;
      tensor.runs.clear();
    }
    for (size_t c = 0; c < context_.chunks.size(); ++c) {
      const ClassPass::Segment& segment = pass.StoredBy(static_cast<int64_t>(c));
      if (segment.count == 0) continue;
      Tensor& tensor = tensors[context_.chunks[c].tensor];
      const MemorySource& source = sources.emplace_back(segment.keys);
      tensor.runs.push_back({&source, 0, segment.count * ElementBytes(tensor.dtype)});
      tensor.count += segment.count;
    }
    const std::vector<Chunk> chunks = MakeChunks(tensors);
    const int threads = ThreadsFor(TotalBytes(tensors), context_.threads);
    const PassContext inner{tensors, chunks, context_.domain, context_.backend, threads, nullptr};
    std::vector<int64_t> ranks;
    for (const Inside& target : inside) ranks.push_back(target.rank);
    const int64_t stored = pass.stored_count();
    return stored > count_ / 2 ? SortedValues(inner, stored, ranks)
                               : ValuesOfRanks(inner, stored, ranks);
  }

  const PassContext& context_;
  int64_t count_;
  bool allow_nonfinite_;
  std::deque<Target> pending_;
  std::vector<RankedWeight> found_;
};

}  // namespace

std::vector<RankedWeight> FindRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& removed, bool allow_nonfinite) {
  return Search(context, count, removed, allow_nonfinite).Run();
}

}  // namespace secateur
