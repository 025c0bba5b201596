#include "core/codebook.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/nonzeros.h"

namespace secateur {
namespace {

// A thousand values for each entry: more of them change the error by less than it varies between
// neighbouring entries.
constexpr int64_t kSample = int64_t{1} << 18;
constexpr int kIterations = 40;
constexpr size_t kEntries = kCodebookEntries;

float ValueAt(const std::byte* weights, int64_t index) {
  float value;
  std::memcpy(&value, weights + index * static_cast<int64_t>(sizeof(float)), sizeof(float));
  return value;
}

[[noreturn]] void ThrowNonfinite(const Tensor& tensor, int64_t index) {
  throw Error("NONFINITE_WEIGHT", "Expected the weights of tensor \"" + tensor.name +
                                      "\" to be finite to make a codebook, got NaN or infinity at "
                                      "index " +
                                      std::to_string(index))
      .WithElement(tensor.name, index);
}

// Every stride-th non-zero weight, in order.
std::vector<float> Sample(const std::vector<Tensor>& tensors, const std::vector<Chunk>& chunks,
                          const PackingOptions& options, int64_t& stride) {
  const Backend& backend = options.backend ? *options.backend : ActiveBackend();
  std::vector<ChunkBits> bits(chunks.size());
  ForChunks(tensors, chunks, options, [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
    FindNonzeros(backend, weights, chunk.count, sizeof(float), bits[i]);
  });
  std::vector<int64_t> before;  // non-zero weights in earlier chunks
  int64_t total = 0;
  for (const ChunkBits& chunk : bits)
    before.push_back(std::exchange(total, total + chunk.nonzeros));
  stride = std::max<int64_t>(1, (total + kSample - 1) / kSample);
  std::vector<float> sample(static_cast<size_t>((total + stride - 1) / stride));
  ForChunks(tensors, chunks, options, [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
    int64_t rank = before[i];
    ForNonzeros(bits[i], [&](int64_t at) {
      const float value = ValueAt(weights, at);
      if (!std::isfinite(value)) ThrowNonfinite(tensors[chunk.tensor], chunk.first + at);
      if (rank % stride == 0) sample[rank / stride] = value;
      ++rank;
    });
  });
  return sample;
}

// Adds to `values` (ascending) those that are not in it, until there are too many for a codebook.
void AddDistinct(std::vector<float>& values, float value) {
  if (values.size() > kEntries) return;
  const auto place = std::lower_bound(values.begin(), values.end(), value);
  if (place == values.end() || *place != value) values.insert(place, value);
}

// The different non-zero weights; more than kEntries of them where the codebook can't be exact.
std::vector<float> DistinctValues(const std::vector<Tensor>& tensors,
                                  const std::vector<Chunk>& chunks, const PackingOptions& options,
                                  const std::vector<float>& sample, bool complete) {
  std::vector<float> values;
  for (float value : sample) AddDistinct(values, value);
  if (complete || values.size() > kEntries) return values;
  std::vector<std::vector<float>> parts(chunks.size(), values);
  ForChunks(tensors, chunks, options, [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
    for (int64_t at = 0; at < chunk.count; ++at) {
      const float value = ValueAt(weights, at);
      if (value != 0) AddDistinct(parts[i], value);
    }
  });
  for (const std::vector<float>& part : parts) {
    for (float value : part) AddDistinct(values, value);
  }
  return values;
}

// Three passes over 11 bits of keys that order like the values.
void SortFloats(std::vector<float>& values) {
  constexpr int kBits = 11;
  constexpr size_t kDigits = size_t{1} << kBits;
  std::vector<uint32_t> keys(values.size());
  std::vector<uint32_t> other(values.size());
  std::memcpy(keys.data(), values.data(), values.size() * sizeof(float));
  for (uint32_t& key : keys) key ^= (key >> 31) != 0 ? 0xffffffffU : 0x80000000U;
  for (int shift = 0; shift < 32; shift += kBits) {
    std::array<size_t, kDigits> next{};
    for (uint32_t key : keys) ++next[(key >> shift) & (kDigits - 1)];
    size_t sum = 0;
    for (size_t& place : next) place = std::exchange(sum, sum + place);
    for (uint32_t key : keys) other[next[(key >> shift) & (kDigits - 1)]++] = key;
    keys.swap(other);
  }
  for (uint32_t& key : keys) key ^= (key >> 31) != 0 ? 0x80000000U : 0xffffffffU;
  std::memcpy(values.data(), keys.data(), values.size() * sizeof(float));
}

// Where the clusters begin at first. The best density of entries goes with the cube root of the
// values' density: over stretches of equal count and width h, with h^(2/3). Square roots of square
// roots give 5/8, and the same bits everywhere.
std::vector<size_t> FirstClusters(const std::vector<float>& sorted) {
  constexpr size_t kStretches = 2048;
  const size_t count = sorted.size();
  std::vector<double> mass(kStretches + 1, 0);
  for (size_t s = 0; s < kStretches; ++s) {
    const double width = double{sorted[std::min(count - 1, count * (s + 1) / kStretches)]} -
                         double{sorted[count * s / kStretches]};
    const double root = std::sqrt(width);
    mass[s + 1] = mass[s] + root * std::sqrt(std::sqrt(std::sqrt(width)));
  }
  std::vector<size_t> starts{0};
  for (size_t entry = 1; entry < kEntries; ++entry) {
    const double target = mass.back() * static_cast<double>(entry) / kEntries;
    const auto stretch =
        static_cast<size_t>(std::upper_bound(mass.begin(), mass.end(), target) - mass.begin() - 1);
    const size_t from = count * stretch / kStretches;
    const size_t to = count * std::min(stretch + 1, kStretches) / kStretches;
    const double part = stretch < kStretches && mass[stretch + 1] > mass[stretch]
                            ? (target - mass[stretch]) / (mass[stretch + 1] - mass[stretch])
                            : 0;
    starts.push_back(
        std::max(starts.back(), from + static_cast<size_t>(part * static_cast<double>(to - from))));
  }
  starts.push_back(count);
  return starts;
}

// The means of the clusters; those that are empty vanish.
std::vector<double> Means(const std::vector<double>& sums, const std::vector<size_t>& starts) {
  std::vector<double> means;
  for (size_t entry = 0; entry + 1 < starts.size(); ++entry) {
    const size_t from = starts[entry];
    const size_t to = starts[entry + 1];
    if (from < to) means.push_back((sums[to] - sums[from]) / static_cast<double>(to - from));
  }
  return means;
}

std::vector<float> LloydCodebook(std::vector<float> sorted) {
  SortFloats(sorted);
  std::vector<double> sums{0};
  sums.reserve(sorted.size() + 1);
  for (float value : sorted) sums.push_back(sums.back() + double{value});
  std::vector<size_t> starts = FirstClusters(sorted);
  std::vector<double> means = Means(sums, starts);
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    std::vector<size_t> next{0};
    for (size_t entry = 1; entry < means.size(); ++entry) {
      const double border = (means[entry - 1] + means[entry]) / 2;
      const auto place = std::upper_bound(sorted.begin(), sorted.end(), border,
                                          [](double a, float b) { return a < double{b}; });
      next.push_back(static_cast<size_t>(place - sorted.begin()));
    }
    next.push_back(sorted.size());
    if (next == starts) break;
    starts = std::move(next);
    means = Means(sums, starts);
  }
  std::vector<float> entries;
  for (double mean : means) AddDistinct(entries, static_cast<float>(mean));
  return entries;
}

}  // namespace

Quantizer::Quantizer(std::span<const float> entries) : start_{}, low_(entries.front()), scale_(0) {
  const double range = double{entries.back()} - low_;
  if (range > 0) scale_ = kCells / range;
  borders_.fill(std::numeric_limits<double>::infinity());
  for (size_t entry = 0; entry + 1 < entries.size(); ++entry)
    borders_[entry] = (double{entries[entry]} + double{entries[entry + 1]}) / 2;
  size_t entry = 0;
  for (int cell = 1; cell < kCells; ++cell) {
    while (entry + 1 < entries.size() && CellOf(static_cast<float>(borders_[entry])) < cell)
      ++entry;
    start_[static_cast<size_t>(cell)] = static_cast<uint8_t>(entry);
  }
}

std::vector<float> MakeCodebook(const std::vector<Tensor>& tensors, const PackingOptions& options) {
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  if (options.monitor) options.monitor->Begin(Phase::kCount, 2 * TotalBytes(tensors));
  int64_t stride = 1;
  std::vector<float> sample = Sample(tensors, chunks, options, stride);
  std::vector<float> distinct = DistinctValues(tensors, chunks, options, sample, stride == 1);
  if (distinct.size() <= kEntries) return distinct;
  return LloydCodebook(std::move(sample));
}

}  // namespace secateur
