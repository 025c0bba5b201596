// Times packing without Node: packing_bench [elements]. Gigabytes of dense float32 weights a second
// of one core.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "secateur/packing.h"
#include "secateur/random.h"

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

}  // namespace

int main(int argc, char** argv) {
  using namespace secateur;
  const int64_t count = argc > 1 ? std::atoll(argv[1]) : 20'000'000;
  std::printf("%lld weights, %s\n%8s %8s %10s %10s %10s %10s %10s %10s\n",
              static_cast<long long>(count), std::string(ActiveBackend().name).c_str(), "density",
              "threads", "measure", "gaps4", "mask f16", "codebook", "encode cb", "decode");
  for (double density : {0.012, 0.1, 0.5, 1.0}) {
    std::vector<float> weights(static_cast<size_t>(count));
    FillNormal(weights, 1, 0, 1, 0);
    for (int64_t i = 0; i < count; ++i)
      if (UniformAt(2, 0, static_cast<uint64_t>(i)) >= density) weights[i] = 0;
    const MemorySource source(reinterpret_cast<std::byte*>(weights.data()));
    const std::vector<Tensor> tensors = {
        {"t", DType::kFloat32, 1, count, {{&source, 0, count * 4}}}};
    const std::vector<float> codebook = MakeCodebook(tensors, {});
    for (int threads : {1, 2}) {
      const PackingOptions options{threads, nullptr, nullptr};
      const auto encode = [&](Positions positions, ValueForm form) {
        return Median([&] { EncodePacked(tensors, positions, form, codebook, options); });
      };
      const PackedStream stream =
          EncodePacked(tensors, Positions::kGaps4, ValueForm::kSame, {}, options);
      std::vector<std::byte> out(static_cast<size_t>(count + 15) * 4);
      const double seconds[] = {
          Median([&] { MeasurePacking(tensors, options); }),
          encode(Positions::kGaps4, ValueForm::kSame),
          encode(Positions::kMask, ValueForm::kFloat16),
          Median([&] { MakeCodebook(tensors, options); }),
          encode(Positions::kGaps4, ValueForm::kCodebook),
          Median([&] {
            DecodePacked({Positions::kGaps4,
                          ValueForm::kSame,
                          4,
                          count + 15,
                          stream.positions,
                          stream.values,
                          {}},
                         out.data(), options);
          }),
      };
      std::printf("%8.3f %8d", density, threads);
      for (double one : seconds)
        std::printf(" %5.1f GB/s", static_cast<double>(count) * 4e-9 / one);
      std::printf("\n");
    }
  }
  return 0;
}
