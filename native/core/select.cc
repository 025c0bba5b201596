// The driver: groups tensors by scope, finds the threshold of each group, and turns it into one of
// each tensor.
#include "secateur/select.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/chunks.h"
#include "core/parallel.h"
#include "core/rank.h"
#include "core/select_rules.h"
#include "core/tally.h"

namespace secateur {
namespace {

// The index just after the `kept`-th tie of a chunk: counted a block at a time, then weight by
// weight.
template <class Key>
int64_t CutInChunk(const PassContext& context, const Chunk& chunk, Key begin, Key end,
                   int64_t kept) {
  constexpr int64_t kBlock = 4096;
  constexpr auto kKeyBytes = static_cast<int64_t>(sizeof(Key));
  const KeyBuffer scratch(chunk.count * kKeyBytes);
  const std::byte* bytes =
      chunk.source->Read(chunk.offset, chunk.count * kKeyBytes, scratch.data());
  const std::array<Key, 2> bounds = {begin, end};
  for (int64_t first = 0; first < chunk.count; first += kBlock) {
    const int64_t count = std::min(kBlock, chunk.count - first);
    std::array<int64_t, 2> at_least = {0, 0};
    const std::byte* block = bytes + first * kKeyBytes;
    context.backend.For<Key>().classify(block, count, {bounds.data(), 2, 0}, at_least.data(),
                                        nullptr);
    const int64_t ties = at_least[0] - at_least[1];
    if (kept > ties) {
      kept -= ties;
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      Key key;
      std::memcpy(&key, block + i * kKeyBytes, sizeof(Key));
      key &= static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
      if (key >= begin && key < end && --kept == 0) return chunk.first + first + i + 1;
    }
  }
  throw Error("FILE_CHANGED", "The weights changed while they were read; nothing was written");
}

// The thresholds of all tensors of a group, given the value of the group's. `removed` weights go in
// all.
class ThresholdBuilder {
 public:
  ThresholdBuilder(const PassContext& context, const RankedWeight& at, int64_t removed,
                   std::vector<Tally> tallies)
      : context_(context), tallies_(std::move(tallies)), thresholds_(context.tensors.size()) {
    for (size_t t = 0; t < thresholds_.size(); ++t) {
      thresholds_[t].tie_begin = context.domain.ToKey(context.tensors[t], at.value);
      thresholds_[t].tie_end = context.domain.ToKey(context.tensors[t], at.value + 1);
      thresholds_[t].score = context.domain.Score(at.value);
    }
    std::vector<Tally> totals(thresholds_.size(), Tally{0, 0});
    Tally all = {0, 0};
    for (size_t c = 0; c < tallies_.size(); ++c) {
      totals[context.chunks[c].tensor] += tallies_[c];
      all += tallies_[c];
    }
    ShareTies(std::max<int64_t>(0, all.ties - (removed - all.below)), totals);
  }

  std::vector<TensorThreshold> Take() { return std::move(thresholds_); }

 private:
  // In order of tensor, then of index.
  void ShareTies(int64_t ties_to_keep, const std::vector<Tally>& totals) {
    for (size_t t = 0; t < thresholds_.size(); ++t) {
      const int64_t kept = std::min(ties_to_keep, totals[t].ties);
      thresholds_[t].removed = totals[t].below + totals[t].ties - kept;
      thresholds_[t].tie_cut = kept == totals[t].ties ? context_.tensors[t].count : 0;
      if (kept > 0 && kept < totals[t].ties)
        thresholds_[t].tie_cut = Cut(static_cast<int>(t), kept);
      ties_to_keep -= kept;
    }
  }

  int64_t Cut(int tensor, int64_t kept) const {
    for (size_t c = 0; c < tallies_.size(); ++c) {
      if (context_.chunks[c].tensor != tensor) continue;
      if (kept <= tallies_[c].ties) {
        return WithKeyType(ElementBytes(context_.tensors[tensor].dtype), [&](auto type) {
          using Key = decltype(type);
          return CutInChunk(context_, context_.chunks[c],
                            static_cast<Key>(thresholds_[tensor].tie_begin),
                            static_cast<Key>(thresholds_[tensor].tie_end), kept);
        });
      }
      kept -= tallies_[c].ties;
    }
    return context_.tensors[tensor].count;
  }

  const PassContext& context_;
  std::vector<Tally> tallies_;
  std::vector<TensorThreshold> thresholds_;
};

int64_t CountOf(const std::vector<Tensor>& tensors) {
  int64_t count = 0;
  for (const Tensor& tensor : tensors) count += tensor.count;
  return count;
}

// One group under one threshold a target; the answers are in the order of `removed`.
std::vector<std::vector<TensorThreshold>> SelectGroup(const std::vector<Tensor>& tensors,
                                                      const std::vector<int64_t>& removed,
                                                      const SelectOptions& options) {
  std::vector<std::vector<TensorThreshold>> answers;
  const int64_t count = CountOf(tensors);
  if (count == 0) {
    return std::vector<std::vector<TensorThreshold>>(removed.size(),
                                                     std::vector<TensorThreshold>(tensors.size()));
  }
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const KeyDomain domain(tensors);
  const PassContext context{tensors,
                            chunks,
                            domain,
                            *options.backend,
                            ThreadsFor(TotalBytes(tensors), options.threads),
                            options.monitor};
  const std::vector<RankedWeight> found =
      FindRanks(context, count, removed, options.allow_nonfinite);
  std::vector<std::vector<Tally>> tallies = TallyAll(context, found);
  for (size_t i = 0; i < removed.size(); ++i) {
    if (found[i].value >= domain.infinity() && removed[i] > 0) {
      throw Error("NONFINITE_WEIGHT",
                  "Expected finite weights to remove, got NaN or infinity in all of them");
    }
    answers.push_back(
        ThresholdBuilder(context, found[i], removed[i], std::move(tallies[i])).Take());
    int64_t gone = 0;
    for (const TensorThreshold& threshold : answers.back()) gone += threshold.removed;
    if (gone != removed[i]) {
      throw Error("NONFINITE_WEIGHT", "Expected a ratio that removes at most the finite weights (" +
                                          std::to_string(gone) + "), got one that removes " +
                                          std::to_string(removed[i]));
    }
  }
  return answers;
}

std::vector<TensorThreshold> SelectAlone(const Tensor& tensor, const std::vector<int64_t>& removed,
                                         const SelectOptions& options) {
  std::vector<TensorThreshold> thresholds;
  for (auto& answer : SelectGroup({tensor}, removed, options)) thresholds.push_back(answer[0]);
  return thresholds;
}

// Global selection under floors: tensors that would lose more than they may are held at their
// floor, each by a threshold of its own, and the rest share what is left to remove, until no other
// tensor falls below its floor.
class FloorSelection {
 public:
  FloorSelection(const std::vector<Tensor>& tensors, int64_t removed, const SelectOptions& options)
      : tensors_(tensors), options_(options), removed_(removed), held_(tensors.size(), false) {
    int64_t most = 0;
    for (const Tensor& tensor : tensors)
      most_.push_back(MostRemoved(tensor.count, options.min_keep));
    for (int64_t each : most_) most += each;
    if (removed > most) {
      throw Error("INVALID_OPTION",
                  "Expected minKeep to leave room for the ratio: " + std::to_string(removed) +
                      " weights are to be removed, but minKeep lets at most " +
                      std::to_string(most) + " go");
    }
  }

  std::vector<TensorThreshold> Run(double* threshold) {
    std::vector<TensorThreshold> thresholds(tensors_.size());
    while (Round(thresholds, threshold)) {
    }
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (held_[t]) thresholds[t] = SelectAlone(tensors_[t], {most_[t]}, options_)[0];
    }
    return thresholds;
  }

 private:
  // Whether a tensor was found that has to be held.
  bool Round(std::vector<TensorThreshold>& thresholds, double* threshold) {
    std::vector<Tensor> free;
    int64_t to_remove = removed_;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (held_[t]) {
        to_remove -= most_[t];
      } else {
        free.push_back(tensors_[t]);
      }
    }
    const std::vector<TensorThreshold> answer = SelectGroup(free, {to_remove}, options_)[0];
    bool found = false;
    size_t next = 0;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (held_[t]) continue;
      thresholds[t] = answer[next++];
      *threshold = thresholds[t].score;
      if (thresholds[t].removed > most_[t]) held_[t] = found = true;
    }
    return found;
  }

  const std::vector<Tensor>& tensors_;
  const SelectOptions& options_;
  int64_t removed_;
  std::vector<int64_t> most_;
  std::vector<bool> held_;
};

std::vector<Selection> SelectLayers(const std::vector<Tensor>& tensors,
                                    const SelectOptions& options) {
  std::vector<Selection> selections;
  for (double ratio : options.ratios) {
    selections.push_back({ratio, std::numeric_limits<double>::quiet_NaN(), 0, {}});
  }
  for (const Tensor& tensor : tensors) {
    std::vector<int64_t> removed;
    for (double ratio : options.ratios) {
      removed.push_back(
          std::min(RemovedCount(ratio, tensor.count), MostRemoved(tensor.count, options.min_keep)));
    }
    const std::vector<TensorThreshold> thresholds = SelectAlone(tensor, removed, options);
    for (size_t i = 0; i < selections.size(); ++i) {
      selections[i].tensors.push_back(thresholds[i]);
      selections[i].removed += thresholds[i].removed;
    }
  }
  return selections;
}

std::vector<Selection> SelectGlobal(const std::vector<Tensor>& tensors,
                                    const SelectOptions& options) {
  std::vector<int64_t> removed;
  for (double ratio : options.ratios) removed.push_back(RemovedCount(ratio, CountOf(tensors)));
  std::vector<std::vector<TensorThreshold>> answers;
  std::vector<double> thresholds(removed.size(), 0);
  if (options.min_keep > 0) {
    for (size_t i = 0; i < removed.size(); ++i) {
      answers.push_back(FloorSelection(tensors, removed[i], options).Run(&thresholds[i]));
    }
  } else {
    answers = SelectGroup(tensors, removed, options);
    for (size_t i = 0; i < removed.size(); ++i) {
      if (!answers[i].empty()) thresholds[i] = answers[i][0].score;
    }
  }
  std::vector<Selection> selections;
  for (size_t i = 0; i < removed.size(); ++i) {
    selections.push_back({options.ratios[i], thresholds[i], removed[i], std::move(answers[i])});
  }
  return selections;
}

}  // namespace

int64_t MostRemoved(int64_t count, double min_keep) {
  if (min_keep <= 0) return count;
  auto kept = static_cast<int64_t>(std::ceil(min_keep * static_cast<double>(count)));
  while (kept > 0 && static_cast<double>(kept - 1) / static_cast<double>(count) >= min_keep) --kept;
  return count - std::min(kept, count);
}

void ValidateSelect(const std::vector<Tensor>& tensors, const SelectOptions& options) {
  for (double ratio : options.ratios) {
    if (!(ratio >= 0 && ratio < 1)) {
      throw Error("INVALID_OPTION",
                  "Expected ratio to be a number in [0, 1), got " + std::to_string(ratio));
    }
  }
  if (!(options.min_keep >= 0 && options.min_keep <= 1)) {
    throw Error("INVALID_OPTION", "Expected minKeep to be a number in [0, 1], got " +
                                      std::to_string(options.min_keep));
  }
  for (const Tensor& tensor : tensors) {
    int64_t bytes = 0;
    for (const Run& run : tensor.runs) bytes += run.bytes;
    if (bytes != tensor.count * ElementBytes(tensor.dtype)) {
      throw Error("INTERNAL",
                  "The runs of tensor \"" + tensor.name + "\" do not add up to its size");
    }
    if (!(tensor.factor > 0 && std::isfinite(tensor.factor))) {
      throw Error("INVALID_OPTION", "Expected factor to be a finite number above 0, got " +
                                        std::to_string(tensor.factor) + " for tensor \"" +
                                        tensor.name + "\"");
    }
  }
}

int64_t RemovedCount(double ratio, int64_t count) {
  return std::min<int64_t>(count, std::llround(ratio * static_cast<double>(count)));
}

std::vector<Selection> Select(const std::vector<Tensor>& tensors, const SelectOptions& given) {
  ValidateSelect(tensors, given);
  SelectOptions options = given;
  if (options.backend == nullptr) options.backend = &ActiveBackend();
  return options.scope == Scope::kLayer ? SelectLayers(tensors, options)
                                        : SelectGlobal(tensors, options);
}

}  // namespace secateur
