#include "core/brackets.h"

#include <algorithm>
#include <set>

#include "core/sample.h"
#include "core/values.h"

namespace secateur {
namespace {

// A miss costs a second pass over all weights. Of many ranks it costs that for one of them only,
// and wide brackets cost more: theirs are narrower.
constexpr double kDeviations = 4.5;
constexpr double kManyDeviations = 3.5;
constexpr size_t kManyRanks = 3;

Tensor AsTensor(const Sample& sample, const MemorySource& source, DType dtype) {
  return {"", dtype, 1, sample.count, {{&source, 0, sample.count * ElementBytes(dtype)}}};
}

// How many sample values fall in each class of `cuts`.
std::vector<int64_t> CountSample(const PassContext& sample, const Cuts& cuts, int64_t count) {
  Cuts counting = cuts;
  counting.stored.assign(counting.stored.size(), false);
  const HostPass pass(sample, std::move(counting));
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
  if (brackets.size() < kManyRanks || sample.domain.dtype() != DType::kFloat32) return;
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

}  // namespace

std::vector<Bracket> BracketsFromSample(const Reader& reader, int64_t count,
                                        const std::vector<int64_t>& ranks) {
  const PassContext& context = reader.context();
  const Sample sample = reader.Take(count);
  const MemorySource source(sample.buffer.data());
  const std::vector<Tensor> tensors = {AsTensor(sample, source, context.domain.dtype())};
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const KeyDomain domain(tensors);
  const PassContext inner{tensors, chunks, domain, context.backend, 1, nullptr};
  const double deviations = ranks.size() < kManyRanks ? kDeviations : kManyDeviations;
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

}  // namespace secateur
