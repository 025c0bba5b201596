#include "core/rank.h"

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <string>
#include <utility>

#include "core/parallel.h"
#include "core/sample.h"

namespace secateur {
namespace {

constexpr int64_t kSortable = 4096;  // as few keys are sorted outright
constexpr size_t kFewRanks =
    4;  // of more, brackets hold most of a small problem: it is sorted too,
constexpr int64_t kRadixSortable = 1 << 19;  // up to this size
constexpr double kDeviations = 4.5;  // a sample's miss costs a second pass over all weights,
constexpr double kManyDeviations =
    3.5;  // and of many ranks for one of them only: their brackets may be narrower
constexpr size_t kTargetsPerPass = 12;  // together they store less than a pass may
constexpr size_t kCoarseTargets =
    3;  // from this many ranks on, bounds are rounded (see RoundBrackets)

uint64_t KeyAt(const std::byte* keys, int64_t index, int64_t element) {
  return WithKeyType(element, [&](auto type) -> uint64_t {
    return reinterpret_cast<const decltype(type)*>(keys)[index];
  });
}

std::vector<uint64_t> ValuesOfRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& ranks);
std::vector<uint64_t> SortedValues(const PassContext& context, int64_t count,
                                   const std::vector<int64_t>& ranks);

// ---- the first brackets
// -------------------------------------------------------------------------------------------

Tensor AsTensor(const Sample& sample, const MemorySource& source, DType dtype) {
  return {"", dtype, 1, sample.count, {{&source, 0, sample.count * ElementBytes(dtype)}}};
}

// How many sample values fall in each class of `cuts`.
std::vector<int64_t> CountSample(const PassContext& sample, const Cuts& cuts, int64_t count) {
  Cuts counting = cuts;
  counting.stored.assign(counting.stored.size(), false);
  const ClassPass pass(sample, std::move(counting));
  std::vector<int64_t> counts;
  int64_t above = count;
  for (size_t j = 0; j < pass.cuts().values.size(); ++j) {
    counts.push_back(above - pass.AtLeast(j));
    above = pass.AtLeast(j);
  }
  counts.push_back(above);
  return counts;
}

// Says which bracket ends are common values: storing those could mean storing most weights.
void MarkCommon(const PassContext& sample, int64_t count, std::vector<Bracket>& brackets) {
  constexpr size_t kValuesPerPass = kMaxBounds / 2;
  std::vector<uint64_t> values;
  for (const Bracket& bracket : brackets) {
    values.push_back(bracket.first);
    values.push_back(bracket.last);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  std::set<uint64_t> common;
  for (size_t begin = 0; begin < values.size(); begin += kValuesPerPass) {
    std::set<uint64_t> edges;
    const size_t end = std::min(values.size(), begin + kValuesPerPass);
    for (size_t i = begin; i < end; ++i) edges.insert({values[i], values[i] + 1});
    const Cuts cuts{{edges.begin(), edges.end()}, std::vector<bool>(edges.size() + 1, false)};
    const std::vector<int64_t> counts = CountSample(sample, cuts, count);
    for (size_t j = 0; j < cuts.values.size(); ++j) {
      const bool asked = std::binary_search(values.begin(), values.end(), cuts.values[j]);
      if (asked && counts[j + 1] > count / 256) common.insert(cuts.values[j]);
    }
  }
  for (Bracket& bracket : brackets) {
    bracket.first_is_common = common.count(bracket.first) > 0;
    bracket.last_is_common = common.count(bracket.last) > 0;
  }
}

// With many bounds, kernels are twice as fast when the upper half of a 32-bit key tells its class.
// Brackets are widened to such bounds unless that would store too much.
void RoundBrackets(const PassContext& sample, int64_t count, std::vector<Bracket>& brackets) {
  if (brackets.size() < kCoarseTargets || sample.domain.dtype() != DType::kFloat32) return;
  std::vector<Bracket> rounded = brackets;
  for (Bracket& bracket : rounded) {
    if (bracket.first_is_common || bracket.last_is_common) return;
    bracket.first &= ~uint64_t{0xffff};
    bracket.last = std::min(bracket.last | 0xffff, sample.domain.infinity() - 1);
  }
  const Cuts cuts = CutsFor(rounded, sample.domain.infinity());
  if (cuts.values.size() > kMaxBounds) return;
  const std::vector<int64_t> counts = CountSample(sample, cuts, count);
  int64_t stored = 0;
  for (size_t j = 0; j < counts.size(); ++j) stored += cuts.stored[j] ? counts[j] : 0;
  if (stored < count / 5) brackets = std::move(rounded);
}

std::vector<Bracket> BracketsFromSample(const PassContext& context, int64_t count,
                                        const std::vector<int64_t>& ranks) {
  const Sample sample = TakeSample(context.tensors, context.domain, count, context.threads);
  const MemorySource source(sample.buffer.data());
  const std::vector<Tensor> tensors = {AsTensor(sample, source, context.domain.dtype())};
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const KeyDomain domain(tensors);
  const PassContext inner{tensors, chunks, domain, context.backend, 1, nullptr};
  const double deviations = ranks.size() < kCoarseTargets ? kDeviations : kManyDeviations;
  std::vector<SampleRanks> sought;
  std::vector<int64_t> wanted;
  for (int64_t rank : ranks) {
    const SampleRanks& at =
        sought.emplace_back(BracketRanks(rank, count, sample.count, deviations));
    wanted.push_back(std::max<int64_t>(at.low, 0));
    wanted.push_back(std::min(at.high, sample.count - 1));
  }
  const std::vector<uint64_t> values = ValuesOfRanks(inner, sample.count, wanted);
  std::vector<Bracket> brackets;
  for (size_t i = 0; i < ranks.size(); ++i) {
    Bracket& bracket =
        brackets.emplace_back(Bracket{values[2 * i], values[2 * i + 1], false, false});
    if (sought[i].low < 0) bracket.first = 0;
    if (sought[i].high >= sample.count) bracket.last = context.domain.infinity() - 1;
    bracket.first = std::min(bracket.first, context.domain.infinity() - 1);
    bracket.last = std::min(bracket.last, context.domain.infinity() - 1);
  }
  MarkCommon(inner, sample.count, brackets);
  RoundBrackets(inner, sample.count, brackets);
  return brackets;
}

// ---- passes
// -------------------------------------------------------------------------------------------------------

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
      uint64_t bits = 0;
      std::copy_n(bytes + i * element, element, reinterpret_cast<std::byte*>(&bits));
      bits &= ~uint64_t{0} >> (65 - 8 * element);
      if (bits < InfinityKey(tensor.dtype)) continue;
      const int64_t index = chunk.first + i;
      throw Error("NONFINITE_WEIGHT",
                  "Expected finite weights, got " +
                      std::string(bits == InfinityKey(tensor.dtype) ? "infinity" : "NaN") +
                      " in tensor \"" + tensor.name + "\" at index " + std::to_string(index) +
                      "; allow non-finite weights to keep them as they are")
          .WithElement(tensor.name, index);
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
    if (count > kSortable) brackets = BracketsFromSample(context, count, ranks);
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
          class_count > kSortable && (pass->overflowed() || class_count > count_ / 64);
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

// ---- small problems
// -----------------------------------------------------------------------------------------------

// Least significant digit first; digits that are the same everywhere cost nothing but the look.
void RadixSort(std::vector<uint64_t>& values) {
  constexpr int kBits = 11;
  constexpr size_t kDigits = size_t{1} << kBits;
  std::vector<uint64_t> other(values.size());
  uint64_t differing = 0;
  for (uint64_t value : values) differing |= value ^ values[0];
  for (int shift = 0; shift < 64; shift += kBits) {
    if (((differing >> shift) & (kDigits - 1)) == 0) continue;
    std::array<size_t, kDigits> next{};
    for (uint64_t value : values) ++next[(value >> shift) & (kDigits - 1)];
    size_t sum = 0;
    for (size_t& place : next) place = std::exchange(sum, sum + place);
    for (uint64_t value : values) other[next[(value >> shift) & (kDigits - 1)]++] = value;
    values.swap(other);
  }
}

// Of finite keys in memory.
std::vector<uint64_t> SortedValues(const PassContext& context, int64_t count,
                                   const std::vector<int64_t>& ranks) {
  std::vector<uint64_t> values;
  values.reserve(count);
  for (const Chunk& chunk : context.chunks) {
    const Tensor& tensor = context.tensors[chunk.tensor];
    const int64_t element = ElementBytes(tensor.dtype);
    const std::byte* keys = chunk.source->Read(chunk.offset, chunk.count * element, nullptr);
    for (int64_t i = 0; i < chunk.count; ++i) {
      values.push_back(context.domain.FromKey(tensor, KeyAt(keys, i, element)));
    }
  }
  RadixSort(values);
  std::vector<uint64_t> found;
  for (int64_t rank : ranks) found.push_back(values[rank]);
  return found;
}

std::vector<uint64_t> ValuesOfRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& ranks) {
  const int64_t sortable = ranks.size() > kFewRanks ? kRadixSortable : kSortable;
  if (count <= sortable) return SortedValues(context, count, ranks);
  std::vector<uint64_t> found;
  for (const RankedWeight& at : FindRanks(context, count, ranks, true)) found.push_back(at.value);
  return found;
}

}  // namespace

std::vector<RankedWeight> FindRanks(const PassContext& context, int64_t count,
                                    const std::vector<int64_t>& removed, bool allow_nonfinite) {
  return Search(context, count, removed, allow_nonfinite).Run();
}

}  // namespace secateur
