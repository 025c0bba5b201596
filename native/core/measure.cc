#include "secateur/measure.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <numbers>

#include "core/chunks.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "secateur/error.h"
#include "secateur/mask.h"
#include "secateur/random.h"
#include "secateur/select.h"

namespace secateur {
namespace {

using Distribution = double (*)(uint64_t seed, uint64_t index);

double Normal(uint64_t seed, uint64_t index) {
  const double radius = std::sqrt(-2 * std::log(UniformAt(seed, 0, index)));
  return radius * std::cos(2 * std::numbers::pi * UniformAt(seed, 1, index));
}

Distribution DistributionOf(const std::string& name) {
  if (name == "normal") return Normal;
  if (name == "uniform")
    return [](uint64_t seed, uint64_t i) { return 2 * UniformAt(seed, 0, i) - 1; };
  if (name == "constant") return [](uint64_t, uint64_t) { return 0.5; };
  if (name == "zeros90") {
    return [](uint64_t seed, uint64_t i) {
      return UniformAt(seed, 2, i) < 0.9 ? 0.0 : Normal(seed, i);
    };
  }
  if (name == "heavy") {
    return [](uint64_t seed, uint64_t i) { return std::tan(3.1 * (UniformAt(seed, 0, i) - 0.5)); };
  }
  if (name == "few") {
    return
        [](uint64_t seed, uint64_t i) { return std::floor(16 * UniformAt(seed, 0, i)) / 16 - 0.5; };
  }
  throw Error(
      "INVALID_OPTION",
      "Expected distribution to be one of normal, uniform, constant, zeros90, heavy, few, got \"" +
          name + "\"");
}

// Rounds towards zero: good enough for weights to measure with.
uint64_t BitsOf(double value, DType dtype) {
  const auto single = std::bit_cast<uint32_t>(static_cast<float>(value));
  switch (dtype) {
    case DType::kFloat64:
      return std::bit_cast<uint64_t>(value);
    case DType::kBFloat16:
      return single >> 16;
    case DType::kFloat32:
      return single;
    case DType::kFloat16:
      break;
  }
  const uint32_t sign = single >> 16 & 0x8000;
  const int exponent = static_cast<int>(single >> 23 & 0xff) - 127 + 15;
  if (exponent <= 0) return sign;
  if (exponent >= 31) return sign | 0x7bff;
  return sign | static_cast<uint32_t>(exponent) << 10 | (single >> 13 & 0x3ff);
}

double Median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t middle = seconds.size() / 2;
  return seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
}

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
    const Distribution distribution = DistributionOf(options_.distribution);
    ForChunks([&](const Chunk& chunk) {
      for (int64_t i = 0; i < chunk.count; ++i) {
        const double value = distribution(options_.seed, static_cast<uint64_t>(chunk.first + i));
        const uint64_t bits = BitsOf(value, options_.dtype);
        std::memcpy(weights_.get() + chunk.offset + i * element_, &bits,
                    static_cast<size_t>(element_));
      }
    });
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

SelectMeasure MeasureSelect(const SelectMeasureOptions& options) {
  if (options.elements < 1 || options.repeats < 1 || options.ratios.empty()) {
    throw Error("INVALID_OPTION",
                "Expected at least one element, one repeat and one ratio to measure");
  }
  DistributionOf(options.distribution);
  return Measurement(options).Run();
}

}  // namespace secateur
