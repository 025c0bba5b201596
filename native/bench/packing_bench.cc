// Times packing without Node: packing_bench [elements]. Gigabytes of dense float32 weights a second
// of one core, with the positions that packing chooses at each density.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "secateur/packing.h"
#include "secateur/random.h"

namespace secateur {
namespace {

// Seconds of processor time, all threads together: what another program takes of the machine does
// not show.
double Median(const std::function<void()>& body) {
  std::vector<double> seconds;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const std::clock_t start = std::clock();
    body();
    seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[2];
}

Positions BestPositions(double density) {
  if (density == 1) return Positions::kAll;
  if (density > 0.25) return Positions::kMask;
  return density > 0.03 ? Positions::kGaps4 : Positions::kGaps8;
}

std::vector<float> MakeWeights(int64_t count, double density) {
  std::vector<float> weights(static_cast<size_t>(count));
  FillNormal(weights, 1, 0, 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (UniformAt(2, 0, static_cast<uint64_t>(i)) >= density) weights[static_cast<size_t>(i)] = 0;
  }
  return weights;
}

// Measuring, encoding as the same / float16, making a codebook, encoding by it, decoding.
std::vector<double> Times(const std::vector<Tensor>& tensors, Positions positions, int threads) {
  const PackingOptions options{threads, nullptr, nullptr};
  const std::vector<float> codebook = MakeCodebook(tensors, options);
  const auto encode = [&](ValueForm form) {
    return Median([&] { EncodePacked(tensors, positions, form, codebook, options); });
  };
  const PackedStream stream = EncodePacked(tensors, positions, ValueForm::kSame, {}, options);
  const int64_t length = positions == Positions::kMask
                             ? static_cast<int64_t>(stream.positions.size()) * 8
                             : tensors[0].count + (stream.padded ? kGapCode4.filler : 0);
  std::vector<std::byte> out(static_cast<size_t>(length) * 4);
  const PackedView view{positions,        ValueForm::kSame, 4, length,
                        stream.positions, stream.values,    {}};
  return {
      Median([&] { MeasurePacking(tensors, options); }),
      encode(ValueForm::kSame),
      encode(ValueForm::kFloat16),
      Median([&] { MakeCodebook(tensors, options); }),
      encode(ValueForm::kCodebook),
      Median([&] { DecodePacked(view, out.data(), options); }),
  };
}

void PrintTable(int64_t count) {
  std::printf("%lld weights, %s\n%8s %8s %10s %10s %10s %10s %10s %10s\n",
              static_cast<long long>(count), std::string(ActiveBackend().name).c_str(), "density",
              "threads", "measure", "same", "float16", "make book", "codebook", "decode");
  for (double density : {0.012, 0.1, 0.5, 1.0}) {
    std::vector<float> weights = MakeWeights(count, density);
    const MemorySource source(reinterpret_cast<std::byte*>(weights.data()));
    const std::vector<Tensor> tensors = {
        {"t", DType::kFloat32, 1, count, {{&source, 0, count * 4}}}};
    for (int threads : {1, 2}) {
      std::printf("%8.3f %8d", density, threads);
      for (double seconds : Times(tensors, BestPositions(density), threads))
        std::printf(" %5.1f GB/s", static_cast<double>(count) * 4e-9 / seconds);
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace secateur

int main(int argc, char** argv) {
  secateur::PrintTable(argc > 1 ? std::atoll(argv[1]) : 20'000'000);
  return 0;
}
