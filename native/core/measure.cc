#include "secateur/measure.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>

#include "core/chunks.h"
#include "core/distributions.h"
#include "core/key_buffer.h"
#include "core/median.h"
#include "core/parallel.h"
#include "secateur/error.h"
#include "secateur/mask.h"
#include "secateur/select.h"

namespace secateur {
namespace {

double SecondsOf(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Measurement {
 public:
  explicit Measurement(const SelectMeasureOptions& options)
      : options_(options),
        element_(ElementBytes(options.dtype)),
        bytes_(options.elements * element_),
        threads_(ThreadsFor(bytes_, options.threads)),
        weights_(std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes_))),
        source_(weights_.get()),
        tensors_{{"weights", options.dtype, 1, options.elements, {{&source_, 0, bytes_}}}},
        chunks_(MakeChunks(tensors_)) {}

  SelectMeasure Run() {
    std::vector<double> floor;
    std::vector<double> floor_read_write;
    std::vector<double> select;
    std::vector<double> select_and_mask;
    std::vector<double> nth_element;
    Fill();
    // Masking changes the weights, which are made anew after it; everything else runs on the same
    // ones. The first round warms up and is not counted.
    for (int round = -1; round < options_.repeats; ++round) {
      const double read = SecondsOf([&] { ReadPass(); });
      const double read_write = SecondsOf([&] { ReadWritePass(); });
      const double selected = SecondsOf([&] { SelectOnly(); });
      if (round < 0) continue;
      floor.push_back(read);
      floor_read_write.push_back(read_write);
      select.push_back(selected);
    }
    for (int round = -1; round < options_.repeats; ++round) {
      const double both = SecondsOf([&] { SelectAndMask(); });
      Fill();
      if (round >= 0) select_and_mask.push_back(both);
    }
    for (int round = 0; round < std::min(options_.repeats, 3); ++round) {
      nth_element.push_back(SecondsOf([&] { NthElement(); }));
    }
    return {Median(floor),           Median(floor_read_write), Median(select),
            Median(select_and_mask), Median(nth_element),      threads_};
  }

 private:
  void ForChunks(const std::function<void(const Chunk&)>& body) {
    ParallelFor(threads_, static_cast<int64_t>(chunks_.size()),
                [&](int64_t i, int) { body(chunks_[i]); });
  }

  void Fill() {
    FillFrom(DistributionOf(options_.distribution), options_.seed, options_.dtype, 0,
             options_.elements, weights_.get(), options_.threads);
  }

  void ReadPass() {
    std::atomic<uint64_t> sum{0};  // keeps the reads from being optimised away
    ForChunks([&](const Chunk& chunk) {
      WithKeyType(element_, [&](auto type) {
        sum ^=
            ActiveBackend().For<decltype(type)>().read(weights_.get() + chunk.offset, chunk.count);
      });
    });
  }

  void ReadWritePass() {
    ForChunks([&](const Chunk& chunk) {
      std::byte* at = weights_.get() + chunk.offset;
      WithKeyType(element_, [&](auto type) {
        ActiveBackend().For<decltype(type)>().mask(at, at, chunk.count, 0);
      });
    });
  }

  std::vector<Selection> SelectOnly() {
    SelectOptions select;
    select.ratios = options_.ratios;
    select.threads = options_.threads;
    return Select(tensors_, select);
  }

  void SelectAndMask() {
    const std::vector<Selection> selections = SelectOnly();
    MaskOptions mask;
    mask.threads = options_.threads;
    ApplyMask({{options_.dtype, options_.elements, weights_.get(), weights_.get()}},
              selections[0].tensors, mask);
  }

  void NthElement() {
    WithKeyType(element_, [&](auto type) {
      using Key = decltype(type);
      const auto* weights = reinterpret_cast<const Key*>(weights_.get());
      std::vector<Key> keys(weights, weights + options_.elements);
      for (Key& key : keys) key &= static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
      const int64_t rank =
          std::min(RemovedCount(options_.ratios[0], options_.elements), options_.elements - 1);
      std::nth_element(keys.begin(), keys.begin() + rank, keys.end());
    });
  }

  const SelectMeasureOptions& options_;
  int64_t element_;
  int64_t bytes_;
  int threads_;
  std::unique_ptr<std::byte[]> weights_;  // ordinary pages, as weights in programs have
  MemorySource source_;
  std::vector<Tensor> tensors_;
  std::vector<Chunk> chunks_;
};

}  // namespace

void CheckMeasure(const SelectMeasureOptions& options) {
  if (options.elements < 1 || options.repeats < 1 || options.ratios.empty()) {
    throw Error("INVALID_OPTION",
                "Expected at least one element, one repeat and one ratio to measure");
  }
  DistributionOf(options.distribution);
}

SelectMeasure MeasureSelect(const SelectMeasureOptions& options) {
  CheckMeasure(options);
  return Measurement(options).Run();
}

}  // namespace secateur
