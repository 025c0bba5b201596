// Applying and packing selections: every backend, type and thread count gives what the thresholds
// say.
#include "secateur/mask.h"

#include <cstring>

#include "data.h"
#include "reference.h"
#include "test.h"

namespace secateur::test {
namespace {

const std::vector<DType> kTypes = {DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                                   DType::kFloat64};

struct Selected {
  std::vector<Weights> weights;
  Selection selection;
  Kept kept;
};

// Few distinct values, so that ties are cut in mid-tensor, at no multiple of anything.
Selected SelectFrom(DType dtype, int64_t count) {
  Selected selected;
  std::vector<Tensor> tensors;
  std::vector<MemorySource> sources;
  sources.reserve(2);
  for (uint32_t t = 0; t < 2; ++t) {
    selected.weights.push_back({dtype, 1, ToBytes(MakeValues("few", count + t, t + 3), dtype)});
  }
  for (Weights& weights : selected.weights) {
    sources.emplace_back(weights.bytes.data());
    const auto bytes = static_cast<int64_t>(weights.bytes.size());
    tensors.push_back({"w", dtype, 1, weights.count(), {{&sources.back(), 0, bytes}}});
  }
  selected.selection = Select(tensors, {.ratios = {0.61}})[0];
  selected.kept = KeptBy(selected.weights, selected.selection);
  return selected;
}

std::vector<std::byte> Masked(const Weights& weights, const std::vector<bool>& kept) {
  std::vector<std::byte> bytes = weights.bytes;
  const int64_t element = ElementBytes(weights.dtype);
  for (int64_t i = 0; i < weights.count(); ++i) {
    if (!kept[i]) std::fill_n(bytes.begin() + i * element, element, std::byte{0});
  }
  return bytes;
}

int64_t Zeros(const Weights& weights) {
  int64_t zeros = 0;
  for (int64_t i = 0; i < weights.count(); ++i) zeros += weights.Key(i) == 0;
  return zeros;
}

TEST(AppliesToOtherMemoryAndInPlace) {
  for (const DType dtype : kTypes) {
    for (const int64_t count : {1, 63, 64, 65, 1000, 300001}) {
      const Selected selected = SelectFrom(dtype, count);
      for (const Backend* backend : SupportedBackends()) {
        Context() = std::string(backend->name) + " n=" + std::to_string(count);
        std::vector<Weights> in = selected.weights;
        std::vector<Weights> out = selected.weights;
        std::vector<MaskedTensor> to_other;
        std::vector<MaskedTensor> in_place;
        for (size_t t = 0; t < in.size(); ++t) {
          std::fill(out[t].bytes.begin(), out[t].bytes.end(), std::byte{0x5a});
          to_other.push_back({dtype, in[t].count(), in[t].bytes.data(), out[t].bytes.data()});
          in_place.push_back({dtype, in[t].count(), in[t].bytes.data(), in[t].bytes.data()});
        }
        const auto& thresholds = selected.selection.tensors;
        const std::vector<int64_t> zeros = ApplyMask(to_other, thresholds, {2, backend});
        EXPECT(in[0].bytes == selected.weights[0].bytes);
        EXPECT(ApplyMask(in_place, thresholds, {1, backend}) == zeros);
        EXPECT(CountZeros(in_place, {3, backend}) == zeros);
        for (size_t t = 0; t < in.size(); ++t) {
          EXPECT(out[t].bytes == Masked(selected.weights[t], selected.kept[t]));
          EXPECT(in[t].bytes == out[t].bytes);
          EXPECT_EQ(zeros[t], Zeros(out[t]));
        }
      }
    }
  }
}

TEST(PacksBits) {
  for (const DType dtype : kTypes) {
    for (const int64_t count : {1, 7, 8, 64, 129, 4097, 300001}) {
      const Selected selected = SelectFrom(dtype, count);
      for (const Backend* backend : SupportedBackends()) {
        Context() = std::string(backend->name) + " n=" + std::to_string(count);
        std::vector<MaskedTensor> tensors;
        std::vector<std::vector<uint8_t>> bits;
        std::vector<uint8_t*> out;
        for (const Weights& weights : selected.weights) {
          tensors.push_back({dtype, weights.count(), weights.bytes.data(), nullptr});
          bits.emplace_back((weights.count() + 7) / 8 + 1, uint8_t{0xff});
        }
        for (auto& each : bits) out.push_back(each.data());
        PackMask(tensors, selected.selection.tensors, out, {2, backend});
        for (size_t t = 0; t < bits.size(); ++t) {
          EXPECT_EQ(int{bits[t].back()}, 0xff);
          const auto size = static_cast<int64_t>(bits[t].size() - 1) * 8;
          for (int64_t i = 0; i < size; ++i) {
            const bool kept = i < tensors[t].count && selected.kept[t][i];
            EXPECT_EQ((bits[t][i / 8] >> (i % 8)) & 1, kept ? 1 : 0);
          }
        }
      }
    }
  }
}

TEST(MaskingTwiceChangesNothing) {
  Selected selected = SelectFrom(DType::kFloat32, 100000);
  Weights& weights = selected.weights[0];
  const std::vector<MaskedTensor> tensors = {
      {DType::kFloat32, weights.count(), weights.bytes.data(), weights.bytes.data()}};
  const std::vector<TensorThreshold> thresholds = {selected.selection.tensors[0]};
  const std::vector<int64_t> zeros = ApplyMask(tensors, thresholds, {});
  const std::vector<std::byte> once = weights.bytes;
  EXPECT(ApplyMask(tensors, thresholds, {}) == zeros);
  EXPECT(weights.bytes == once);
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
