#include "core/cuts.h"

#include <algorithm>

#include "secateur/backend.h"

namespace secateur {
namespace {

Cuts Unstored(std::vector<uint64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  Cuts cuts;
  cuts.stored.assign(values.size() + 1, false);
  cuts.values = std::move(values);
  return cuts;
}

}  // namespace

uint32_t Cuts::StoreEdges() const {
  uint32_t edges = 0;
  for (size_t j = 0; j < values.size(); ++j) {
    if (stored[j] != stored[j + 1]) edges |= 1u << j;
  }
  return edges;
}

Cuts CutsFor(const std::vector<Bracket>& brackets, uint64_t infinity) {
  std::vector<uint64_t> values = {infinity};
  std::vector<uint64_t> common;
  for (const Bracket& bracket : brackets) {
    values.push_back(bracket.first);
    values.push_back(bracket.last + 1);
    if (bracket.first_is_common) {
      values.push_back(bracket.first + 1);
      common.push_back(bracket.first);
    }
    if (bracket.last_is_common) {
      values.push_back(bracket.last);
      common.push_back(bracket.last);
    }
  }
  Cuts cuts = Unstored(std::move(values));
  for (size_t j = 1; j < cuts.values.size(); ++j) {
    const uint64_t begin = cuts.values[j - 1];
    const bool wanted = std::any_of(brackets.begin(), brackets.end(), [&](const Bracket& bracket) {
      return bracket.first <= begin && begin <= bracket.last;
    });
    const bool apart = std::find(common.begin(), common.end(), begin) != common.end();
    cuts.stored[j] = wanted && !apart && begin < infinity;
  }
  return cuts;
}

Cuts EvenCuts(uint64_t first, uint64_t last, uint64_t infinity) {
  constexpr uint64_t kParts = kMaxBounds - 3;
  std::vector<uint64_t> values = {infinity, first, last + 1};
  const uint64_t width = last - first + 1;
  for (uint64_t part = 1; part < kParts; ++part) {
    values.push_back(first + width / kParts * part + width % kParts * part / kParts);
  }
  return Unstored(std::move(values));
}

}  // namespace secateur
