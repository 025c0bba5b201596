// The driver: groups tensors by scope, finds the threshold of each group, and turns it into one of
// each tensor.
#include "secateur/select.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "core/chunks.h"
#include "core/device_reader.h"
#include "core/host_reader.h"
#include "core/parallel.h"
#include "core/rank.h"
#include "core/select_rules.h"
#include "secateur/error.h"

namespace secateur {
namespace {

// The thresholds of all tensors of a group, given threshold number `number` of those that were
// found. `removed` weights go in all.
class ThresholdBuilder {
 public:
  ThresholdBuilder(const PassContext& context, const Tallies& tallies, size_t number,
                   uint64_t value, int64_t removed)
      : context_(context), tallies_(tallies), number_(number), thresholds_(context.tensors.size()) {
    Tally all = {0, 0};
    for (size_t t = 0; t < thresholds_.size(); ++t) {
      thresholds_[t].tie_begin = context.domain.ToKey(context.tensors[t], value);
      thresholds_[t].tie_end = context.domain.ToKey(context.tensors[t], value + 1);
      thresholds_[t].score = context.domain.Score(value);
      all += tallies.Of(number, t);
    }
    ShareTies(std::max<int64_t>(0, all.ties - (removed - all.below)));
  }

  std::vector<TensorThreshold> Take() { return std::move(thresholds_); }

 private:
  // In order of tensor, then of index.
  void ShareTies(int64_t ties_to_keep) {
    for (size_t t = 0; t < thresholds_.size(); ++t) {
      const Tally total = tallies_.Of(number_, t);
      const int64_t kept = std::min(ties_to_keep, total.ties);
      thresholds_[t].removed = total.below + total.ties - kept;
      thresholds_[t].tie_cut = kept == total.ties ? context_.tensors[t].count : 0;
      if (kept > 0 && kept < total.ties) thresholds_[t].tie_cut = tallies_.Cut(number_, t, kept);
      ties_to_keep -= kept;
    }
  }

  const PassContext& context_;
  const Tallies& tallies_;
  size_t number_;
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
  const bool on_device = options.device != nullptr;
  const std::vector<Chunk> chunks = on_device ? std::vector<Chunk>() : MakeChunks(tensors);
  const KeyDomain domain(tensors);
  const PassContext context{tensors,
                            chunks,
                            domain,
                            *options.backend,
                            ThreadsFor(TotalBytes(tensors), options.threads),
                            options.monitor};
  const std::unique_ptr<Reader> reader = on_device ? MakeDeviceReader(*options.device, context)
                                                   : std::make_unique<HostReader>(context);
  const std::vector<RankedWeight> found =
      FindRanks(*reader, count, removed, options.allow_nonfinite);
  const std::unique_ptr<Tallies> tallies = reader->TallyAll(found);
  for (size_t i = 0; i < removed.size(); ++i) {
    if (found[i].value >= domain.infinity() && removed[i] > 0) {
      throw Error("NONFINITE_WEIGHT",
                  "Expected finite weights to remove, got NaN or infinity in all of them");
    }
    answers.push_back(ThresholdBuilder(context, *tallies, i, found[i].value, removed[i]).Take());
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
