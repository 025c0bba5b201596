// Selections and masks on a GPU (device.h says which) against the CPU's: equal bits.
#include "secateur/device.h"

#include <limits>

#include "core/device_memory.h"
#include "device.h"
#include "failures.h"
#include "fixture.h"
#include "test.h"

namespace secateur::test {
namespace {

const std::vector<DType> kTypes = {DType::kFloat32, DType::kFloat16, DType::kBFloat16};

void ExpectEqualSelections(const std::vector<Selection>& got, const std::vector<Selection>& want) {
  EXPECT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size() && i < want.size(); ++i) {
    EXPECT_EQ(got[i].removed, want[i].removed);
    for (size_t t = 0; t < want[i].tensors.size(); ++t) {
      const TensorThreshold& a = got[i].tensors[t];
      const TensorThreshold& b = want[i].tensors[t];
      EXPECT_EQ(a.tie_begin, b.tie_begin);
      EXPECT_EQ(a.tie_end, b.tie_end);
      EXPECT_EQ(a.tie_cut, b.tie_cut);
      EXPECT_EQ(a.removed, b.removed);
      EXPECT_EQ(a.score, b.score);
    }
  }
}

// Uploaded for the call.
void ExpectUploadedAsOnCpu(const Fixture& fixture, SelectOptions options) {
  const std::vector<Selection> want = Select(fixture.tensors, options);
  const std::shared_ptr<Device> device = OpenDevice();
  options.device = device.get();
  ExpectEqualSelections(Select(fixture.tensors, options), want);
}

// Uploaded, streamed through little memory, and from tensors that are there.
void ExpectAsOnCpu(const Fixture& fixture, SelectOptions options) {
  ExpectUploadedAsOnCpu(fixture, options);
  const std::vector<Selection> want = Select(fixture.tensors, options);
  const std::shared_ptr<Device> device = OpenDevice();
  options.device = device.get();
  device->LimitBytes(100000);
  Context() += " streamed";
  ExpectEqualSelections(Select(fixture.tensors, options), want);
  device->LimitBytes(0);
  std::vector<MaskedTensor> tensors;
  std::vector<double> factors;
  for (const Weights& weights : fixture.weights) {
    tensors.push_back({weights.dtype, weights.count(), weights.bytes.data(), nullptr});
    factors.push_back(weights.factor);
  }
  const DeviceTensors there(device, tensors, factors, {});
  Context() += " there";
  ExpectEqualSelections(there.Select(options), want);
}

TEST(SizesAroundTiles) {
  for (const int64_t count : {1, 33, 8192, 8193, 24000}) {
    for (const DType dtype : kTypes) {
      Context() = "n=" + std::to_string(count);
      const Fixture fixture = MakeFixture({{dtype, count}, {dtype, count / 3}}, "normal");
      ExpectAsOnCpu(fixture, {.ratios = {0, 0.9, 0.999}});
    }
  }
}

TEST(DistributionsAndTypes) {
  for (const std::string& distribution : Distributions()) {
    for (const DType dtype : kTypes) {
      Context() = distribution;
      const Fixture fixture = MakeFixture(
          {{dtype, 0}, {dtype, 14000}, {dtype, 1}, {dtype, 0}, {dtype, 9000}, {dtype, 0}},
          distribution);
      ExpectUploadedAsOnCpu(fixture, {.ratios = {0.5, 0.9}});
    }
  }
}

TEST(LayersAndFloors) {
  const Fixture fixture = MakeFixture(
      {{DType::kFloat32, 20000}, {DType::kFloat32, 9000}, {DType::kFloat32, 300}}, "few");
  ExpectAsOnCpu(fixture, {.ratios = {0.5, 0.9}, .scope = Scope::kLayer});
  ExpectAsOnCpu(fixture, {.ratios = {0.8}, .min_keep = 0.15});
}

TEST(MixedTypesAndFactors) {
  for (const char* distribution : {"normal", "few", "zeros90", "heavy"}) {
    Context() = distribution;
    const Fixture fixture =
        MakeFixture({{DType::kFloat32, 30000}, {DType::kFloat16, 20000}, {DType::kBFloat16, 10000}},
                    distribution, {1, 0.37, 1e3});
    ExpectAsOnCpu(fixture, {.ratios = {0.2, 0.75}});
  }
}

TEST(NineRatios) {
  for (const char* distribution : {"normal", "few", "zeros90", "same-prefix"}) {
    Context() = distribution;
    const Fixture fixture = MakeFixture({{DType::kFloat32, 30000}}, distribution);
    ExpectUploadedAsOnCpu(fixture, {.ratios = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}});
  }
}

TEST(ManySmallTensors) {
  std::vector<std::pair<DType, int64_t>> shapes;
  for (int64_t t = 0; t < 60; ++t) shapes.emplace_back(kTypes[t % 2], t % 7 == 0 ? 0 : 10 + 3 * t);
  ExpectAsOnCpu(MakeFixture(shapes, "few"), {.ratios = {0.3, 0.9}});
}

// A sample that sees nothing of what matters: the fallback must still be exact.
TEST(SampleMisses) {
  std::vector<double> values(100000, 1.0);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = i < 99800 ? 1e-3 : 1.0 + static_cast<double>(i) * 1e-7;
  Fixture fixture;
  fixture.Add({DType::kFloat32, 1, ToBytes(values, DType::kFloat32)});
  fixture.Bind();
  ExpectAsOnCpu(fixture, {.ratios = {0.9970, 0.9985, 0.9995}});
}

TEST(Nonfinite) {
  const std::shared_ptr<Device> device = OpenDevice();
  for (const DType dtype : kTypes) {
    Fixture fixture = MakeFixture({{dtype, 50}, {dtype, 60000}}, "normal");
    const uint64_t bits = InfinityKey(dtype) + 1;
    const auto element = static_cast<size_t>(ElementBytes(dtype));
    std::memcpy(fixture.weights[1].bytes.data() + 41234 * element, &bits, element);
    std::memcpy(fixture.weights[1].bytes.data() + 50000 * element, &bits, element);
    for (const int64_t limit : {0, 50000}) {
      device->LimitBytes(limit);
      EXPECT_EQ(CodeAndPlaceOf(
                    [&] { Select(fixture.tensors, {.ratios = {0.5}, .device = device.get()}); }),
                std::string("NONFINITE_WEIGHT w1 41234"));
    }
    ExpectAsOnCpu(fixture, {.ratios = {0.9}, .allow_nonfinite = true});
  }
}

TEST(RefusesFloat64) {
  const std::shared_ptr<Device> device = OpenDevice();
  const Fixture fixture = MakeFixture({{DType::kFloat64, 10}}, "normal");
  EXPECT_EQ(
      CodeAndPlaceOf([&] { Select(fixture.tensors, {.ratios = {0.5}, .device = device.get()}); }),
      std::string("CUDA  -1"));
}

TEST(RunsOutOfMemory) {
  const std::shared_ptr<Device> device = OpenDevice();
  std::byte none{};
  EXPECT_EQ(CodeAndPlaceOf([&] {
              const DeviceTensors tensors(
                  device, {{DType::kFloat32, int64_t{1} << 46, &none, nullptr}}, {1}, {});
            }),
            std::string("CUDA  -1"));
}

TEST(Cancels) {
  const std::shared_ptr<Device> device = OpenDevice();
  const Fixture fixture = MakeFixture({{DType::kFloat32, 300000}}, "normal");
  Monitor monitor;
  monitor.Cancel();
  EXPECT_EQ(CodeAndPlaceOf([&] {
              Select(fixture.tensors,
                     {.ratios = {0.5}, .monitor = &monitor, .device = device.get()});
            }),
            std::string("ABORTED  -1"));
}

constexpr const char* kDistributions[] = {"normal", "few", "zero", "sorted"};

std::vector<MaskedTensor> TensorsOf(Fixture& fixture) {
  std::vector<MaskedTensor> tensors;
  for (Weights& weights : fixture.weights) {
    tensors.push_back({weights.dtype, weights.count(), weights.bytes.data(), weights.bytes.data()});
  }
  return tensors;
}

// Weights in host memory, a copy of them on the device, and a selection that removes 70%.
struct OnDevice {
  explicit OnDevice(const char* distribution)
      : fixture(MakeFixture({{DType::kFloat32, 20001},
                             {DType::kFloat16, 16384},
                             {DType::kBFloat16, 0},
                             {DType::kBFloat16, 9999},
                             {DType::kFloat32, 31}},
                            distribution)),
        tensors(TensorsOf(fixture)),
        device(OpenDevice(), tensors, std::vector<double>(tensors.size(), 1), {}),
        selection(device.Select({.ratios = {0.7}})[0]) {
    Context() = distribution;
    for (const Weights& weights : fixture.weights) results.emplace_back(weights.bytes.size());
    for (auto& result : results) out.push_back(result.data());
  }

  // Whether `out` has the bytes of the weights in host memory.
  bool Same() const {
    for (size_t t = 0; t < results.size(); ++t) {
      if (results[t] != fixture.weights[t].bytes) return false;
    }
    return true;
  }

  Fixture fixture;
  std::vector<MaskedTensor> tensors;
  DeviceTensors device;
  Selection selection;
  std::vector<std::vector<std::byte>> results;
  std::vector<std::byte*> out;
};

TEST(PacksMasks) {
  for (const char* distribution : kDistributions) {
    OnDevice there(distribution);
    std::vector<std::vector<uint8_t>> bits;
    std::vector<std::vector<uint8_t>> want;
    std::vector<uint8_t*> to;
    std::vector<uint8_t*> want_to;
    for (const MaskedTensor& tensor : there.tensors) {
      bits.emplace_back((tensor.count + 7) / 8, 0xff);
      want.emplace_back((tensor.count + 7) / 8, 0);
    }
    for (auto& each : bits) to.push_back(each.data());
    for (auto& each : want) want_to.push_back(each.data());
    there.device.Pack(there.selection.tensors, to);
    PackMask(there.tensors, there.selection.tensors, want_to, {});
    EXPECT(bits == want);
  }
}

TEST(CopiesBackAndMasks) {
  for (const char* distribution : kDistributions) {
    OnDevice there(distribution);
    const std::vector<TensorThreshold>& thresholds = there.selection.tensors;
    there.device.Download(there.out);
    EXPECT(there.Same());
    const std::vector<int64_t> copied = there.device.DownloadMasked(thresholds, there.out);
    const std::vector<int64_t> want = ApplyMask(there.tensors, thresholds, {});
    EXPECT(copied == want);
    EXPECT(there.Same());
    EXPECT(there.device.Apply(thresholds) == want);
    there.device.Download(there.out);
    EXPECT(there.Same());
    // Masked again, nothing changes: what is left has the zeros that it had.
    EXPECT(there.device.Apply(there.device.Select({.ratios = {0}})[0].tensors) == want);
  }
}

// The last two tiles of a tensor of more than 2^32 elements, all that is in memory of it, as a
// window of a streamed one is: its ties are cut beyond 2^32, and its keys counted and masked there.
TEST(BeyondTwoToThe32) {
  constexpr int64_t kTiles = (int64_t{1} << 32) / cuda::kTile;
  constexpr int64_t kFirst = kTiles * cuda::kTile;
  constexpr int64_t kCount = cuda::kTile + 100;  // there
  constexpr int64_t kCut = 5000;
  const auto queue = std::make_shared<const DeviceQueue>(*OpenDevice());
  const DeviceBuffer entries =
      Uploaded(queue, std::vector<cuda::Entry>{{0, kFirst + kCount, 0, 0, 1, 0, 0}});
  const DeviceBuffer weights = Uploaded(queue, std::vector<float>(kCount, -0.5F));
  const cuda::Tiles tiles = {weights.As<std::byte>() - kFirst * 4, entries.As<cuda::Entry>(), 1,
                             kTiles, kTiles + 2};

  constexpr uint32_t kKey = 0x3f000000;  // of 0.5
  const DeviceBuffer bounds =
      Uploaded(queue, std::vector<cuda::Bounds>{{kKey, kKey + 1, kFirst + kCut}});
  const DeviceBuffer counts(queue, (kTiles + 2) * 2 * 4);
  const DeviceBuffer totals(queue, 4 * 8);
  totals.Zero();
  auto* total = totals.As<unsigned long long>();
  const DeviceBuffer cuts = Uploaded(queue, std::vector<uint32_t>{kKey, kKey + 1});
  queue->Run(queue->api().classify,
             cuda::ClassifyArgs{tiles, cuts.As<uint32_t>(), 2, 0, counts.As<uint32_t>(), total,
                                nullptr, 0, total + 2, nullptr});
  queue->Run(queue->api().mask, cuda::MaskArgs{tiles, weights.As<std::byte>() - kFirst * 4,
                                               bounds.As<cuda::Bounds>(), total + 3});
  const std::vector<unsigned long long> got = Downloaded(*queue, total, 4);
  EXPECT_EQ(static_cast<int64_t>(got[0]), kCount);
  EXPECT_EQ(got[1], 0U);
  EXPECT_EQ(static_cast<int64_t>(got[3]), kCut);
  const std::vector<uint32_t> last =
      Downloaded(*queue, counts.As<uint32_t>() + kTiles * 2, int64_t{4});
  EXPECT(last == (std::vector<uint32_t>{cuda::kTile, 0, kCount - cuda::kTile, 0}));
  const std::vector<float> masked = Downloaded(*queue, weights.As<float>(), kCount);
  int64_t wrong = 0;
  for (int64_t i = 0; i < kCount; ++i) wrong += masked[i] != (i < kCut ? -0.5F : 0.0F);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunDeviceTests(); }
